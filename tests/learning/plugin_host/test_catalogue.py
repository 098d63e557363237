"""Loading plugins: the good are ready for use, each bad one is quarantined with the reason, and none stops the rest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import learnd_plugins
from learnd.learning.contract.hooks import CONTRACT
from learnd.learning.contract.options import options_of
from learnd.learning.plugin_host import discovery
from learnd.learning.plugin_host.catalogue import Catalogue, load_catalogue
from learnd.messages.plugins import Event, PluginInfo, PluginState

BUILT_IN = set(learnd_plugins.__all__)
HEADER = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import torch
from learnd.learning.contract.algorithm import Bid, HeadAlgorithm
from learnd.learning.contract.hooks import hookimpl
"""
CLASS = """
@dataclass(frozen=True)
class Mine(HeadAlgorithm):
    name: ClassVar[str] = "mine"
    summary: ClassVar[str] = "a user's own"
    rate: float = 0.5

    def bid(self, task):
        return Bid(0.5, "always", 0.0)

    def fit(self, features, labels, ways, ctx):
        return {"ways": torch.tensor(ways)}

    def score(self, state, features):
        return torch.zeros(len(features), int(state["ways"]))
"""
HOOK = """
@hookimpl
def learnd_algorithms():
    return [Mine]
"""
GOOD = HEADER + CLASS + HOOK


def load(folder: Path, options: Mapping[str, Mapping[str, Any]] | None = None, **files: str) -> Catalogue:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return load_catalogue(folder, options or {})


def info(catalogue: Catalogue, name: str) -> PluginInfo:
    (found,) = [plugin for plugin in catalogue.plugins if plugin.name == name]
    return found


def test_the_built_in_plugins_are_ready_for_use() -> None:
    catalogue = load_catalogue(None, {})
    assert set(catalogue.algorithms) == BUILT_IN
    for plugin in catalogue.plugins:
        assert (plugin.state, plugin.source, plugin.reason) == ("ok", "built-in", "")
        assert plugin.summary
        assert plugin.options == options_of(catalogue.algorithms[plugin.name])


def test_in_a_checkout_the_built_in_folder_is_not_loaded_twice() -> None:
    folder = Path(next(iter(learnd_plugins.__path__)))
    assert [plugin.state for plugin in load_catalogue(folder, {}).plugins] == ["ok"] * len(BUILT_IN)


def test_a_users_file_is_loaded_beside_them(tmp_path: Path) -> None:
    catalogue = load(tmp_path, {"mine": {"rate": 2}}, mine=GOOD, _helper="1 / 0")
    (tmp_path / ".hidden.py").write_text("1 / 0")
    assert set(catalogue.algorithms) == {*BUILT_IN, "mine"}
    assert info(catalogue, "mine").source == str(tmp_path / "mine.py")
    assert info(catalogue, "mine").options == {"rate": 2.0}
    assert not list(tmp_path.rglob("*.pyc"))


def test_an_edited_file_is_loaded_anew(tmp_path: Path) -> None:
    first = load(tmp_path, mine=GOOD)
    second = load(tmp_path, mine=GOOD.replace("0.5\n", "0.7\n", 1))
    assert options_of(first.algorithms["mine"]) == {"rate": 0.5}
    assert options_of(second.algorithms["mine"]) == {"rate": 0.7}


def test_a_file_that_is_as_it_was_is_not_run_again(tmp_path: Path) -> None:
    text = GOOD + "\nwith open(__file__ + '.log', 'a') as log: log.write('run ')\n"
    first, second = load(tmp_path, mine=text), load(tmp_path, mine=text)
    assert (tmp_path / "mine.py.log").read_text() == "run "
    assert type(first.algorithms["mine"]) is type(second.algorithms["mine"])


def test_a_file_that_failed_is_tried_again_as_it_is(tmp_path: Path) -> None:
    text = GOOD + "\nopen(__file__ + '.needed').close()\n"
    assert info(load(tmp_path, mine=text), "mine").state == "quarantined"
    (tmp_path / "mine.py.needed").touch()
    assert info(load(tmp_path, mine=text), "mine").state == "ok"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("x = 1\ndef broken(:", 'SyntaxError: invalid syntax (broken.py, line 2)\n  File "'),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt('no hurry')", "KeyboardInterrupt: no hurry"),
        ("class Own(BaseException): pass\nraise Own('word')", "Own: word"),
        (GOOD.replace("return [Mine]", "raise GeneratorExit('hook')"), "GeneratorExit: hook"),
        (HEADER + CLASS, "implements no hook"),
        (GOOD.replace("def learnd_algorithms", "def learnd_algorithm"), "did you mean 'learnd_algorithms'"),
        (GOOD.replace("learnd_algorithms()", "learnd_algorithms(extra)"), "PluginValidationError"),
        (GOOD.replace("return [Mine]", "return 1 / 0"), "ZeroDivisionError"),
        (GOOD.replace("return [Mine]", "return Mine"), "return a list of Algorithm classes"),
        (GOOD.replace("return [Mine]", "return None"), "returned None"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_quarantined_alone(tmp_path: Path, text: str, says: str) -> None:
    before = set(sys.modules)
    catalogue = load(tmp_path, broken=text, mine=GOOD)
    assert set(catalogue.algorithms) == {*BUILT_IN, "mine"}
    assert info(catalogue, "broken").state == "quarantined"
    assert says in info(catalogue, "broken").reason
    if "hook" not in text:  # it failed while it was imported
        left = [sys.modules[name] for name in set(sys.modules) - before]
        assert str(tmp_path / "broken.py") not in {getattr(module, "__file__", None) for module in left}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("return [Mine]", "return [Mine()]", "is not a subclass of Algorithm"),
        ("return [Mine]", "return [int]", "is not a subclass of Algorithm"),
        ("@dataclass(frozen=True)", "@dataclass", "@dataclass(frozen=True)"),
        ("@dataclass(frozen=True)", "", "is not a frozen dataclass"),
        ('name: ClassVar[str] = "mine"', "", "its name None is no lower-case identifier"),
        ('= "mine"', '= "my own"', "its name 'my own' is no lower-case identifier"),
        ('= "mine"', '= "class"', "its name 'class' is no lower-case identifier"),
        ('summary: ClassVar[str] = "a user\'s own"', "", "its summary None is not one line"),
        ("def score(", "def scoring(", "does not define score"),
        ("rate: float = 0.5", "rate: float", "its option 'rate' has no default"),
        ("rate: float = 0.5", "rate: set = None", "its defaults cannot be written in config.yaml"),
        ("rate: float = 0.5", "rate: set = frozenset()", "its defaults cannot be written in config.yaml"),
        ("rate: float = 0.5", "rate: int = 0.5", "must be a whole number, not 0.5"),
        ("rate: float = 0.5", "enabled: bool = True", "'enabled' cannot be an option"),
        ('= "mine"', '= "ridge"', "the name 'ridge' is taken by the plugin of built-in"),
    ],
)
def test_an_algorithm_that_breaks_the_contract_is_quarantined(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    catalogue = load(tmp_path, bad=GOOD.replace(old, new))
    assert set(catalogue.algorithms) == BUILT_IN
    (bad,) = [plugin for plugin in catalogue.plugins if plugin.state == "quarantined"]
    assert bad.source == str(tmp_path / "bad.py")
    assert says in bad.reason


def test_of_two_algorithms_in_a_file_only_the_bad_one_is_quarantined(tmp_path: Path) -> None:
    catalogue = load(tmp_path, two=GOOD.replace("[Mine]", "[Mine, int]"))
    assert "mine" in catalogue.algorithms
    assert info(catalogue, "two").state == "quarantined"


GONE = "from learnd.learning.contract.algorithm import Gone\n"  # as a plugin for another version may begin


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "__learnd_contract__ = 7", f"version 7 of the plugin contract, and this learnd has version {CONTRACT}"),
        ("__learnd_contract__ = 7\n" + GONE, "for version 7 of the plugin contract"),
        (f"__learnd_contract__ = {CONTRACT}\n" + GONE, "ImportError"),
        (GOOD + "__learnd_contract__ = '1'", "its __learnd_contract__ is '1', and no whole number"),
    ],
)
def test_a_plugin_made_for_another_contract_is_refused_by_saying_both(tmp_path: Path, text: str, says: str) -> None:
    catalogue = load(tmp_path, mine=text)
    assert "mine" not in catalogue.algorithms
    assert says in info(catalogue, "mine").reason


def test_a_plugin_made_for_this_contract_is_loaded(tmp_path: Path) -> None:
    assert "mine" in load(tmp_path, mine=GOOD + f"__learnd_contract__ = {CONTRACT}").algorithms


def test_the_traceback_begins_in_the_plugin(tmp_path: Path) -> None:
    text = "def helper():\n    return 1 / 0\n\nhelper()\n"
    summary, *trace = info(load(tmp_path, broken=text), "broken").reason.splitlines()
    assert summary == "ZeroDivisionError: division by zero"
    assert trace[0].strip() == f'File "{tmp_path / "broken.py"}", line 4, in <module>'
    assert "return 1 / 0" in "".join(trace)


def test_a_bad_option_quarantines_its_plugin() -> None:
    catalogue = load_catalogue(None, {"ridge": {"strenght": 1.0}, "finetune": {"blocks": "two"}})
    assert set(catalogue.algorithms) == BUILT_IN - {"ridge", "finetune"}
    assert "did you mean 'strength'" in info(catalogue, "ridge").reason
    assert "must be a whole number" in info(catalogue, "finetune").reason


def test_a_plugin_can_be_switched_off_without_being_imported(tmp_path: Path) -> None:
    off = {name: {"enabled": False} for name in ("ridge", "crash", "mine")}
    catalogue = load(tmp_path, off, crash="import os; os.abort()", other=GOOD)
    assert set(catalogue.algorithms) == BUILT_IN - {"ridge"}
    assert {info(catalogue, name).state for name in off} == {"disabled"}
    assert "must be true or false" in info(load_catalogue(None, {"ridge": {"enabled": "no"}}), "ridge").reason


def test_each_plugin_is_named_before_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "off.py").write_text("1 / 0")
    told: list[tuple[str, str]] = []
    load_catalogue(tmp_path, {"off": {"enabled": False}}, importing=lambda name, source: told.append((name, source)))
    assert told == [*((name, "built-in") for name in learnd_plugins.__all__), ("mine", str(tmp_path / "mine.py"))]


def test_a_plugin_that_is_barred_is_not_imported_and_listed_with_the_reason(tmp_path: Path) -> None:
    evil = PluginInfo("evil", str(tmp_path / "evil.py"), PluginState.QUARANTINED, "killed the worker")
    (tmp_path / "evil.py").write_text("import os; os.abort()")
    (tmp_path / "mine.py").write_text(GOOD)
    catalogue = load_catalogue(tmp_path, {}, [evil])
    assert info(catalogue, "evil") == evil
    assert "mine" in catalogue.algorithms


def test_an_algorithm_that_is_barred_is_left_out_of_what_its_plugin_brings(tmp_path: Path) -> None:
    (tmp_path / "several.py").write_text(GOOD)
    wild = PluginInfo(
        "mine", str(tmp_path / "several.py"), PluginState.QUARANTINED, "was at work when a worker was lost"
    )
    catalogue = load_catalogue(tmp_path, {}, [wild])
    assert catalogue.unfit("mine") == info(catalogue, "mine") == wild
    assert (catalogue.unfit("ridge"), catalogue.unfit("nobody")) == (None, None)


def test_options_for_nobody_are_an_entry_of_their_own() -> None:
    unknown = info(load_catalogue(None, {"rigde": {"strength": 1.0}}), "rigde")
    assert (unknown.state, unknown.source) == ("quarantined", "config.yaml")
    assert "did you mean 'ridge'" in unknown.reason


def test_entry_points_are_plugins_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "learnd_test_entry.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("good", "learnd_test_entry", "learnd"),
        EntryPoint("bad", "learnd_test_missing", "learnd"),
    ]
    monkeypatch.setattr(discovery, "entry_points", lambda group: points)
    catalogue = load_catalogue(None, {})
    sys.modules.pop("learnd_test_entry")
    assert info(catalogue, "mine").source == "entry point"
    assert "mine" in catalogue.algorithms
    assert info(catalogue, "bad").reason.startswith("ModuleNotFoundError")


# --- readers ----------------------------------------------------------------------------------------------------------

READS = """
import torch
from learnd.learning.contract.hooks import hookimpl

def read(path):
    return torch.zeros(3, 8, 8, dtype=torch.uint8)

@hookimpl
def learnd_readers():
    return {".wav": read}
"""


def test_a_plugin_may_bring_readers_alone(tmp_path: Path) -> None:
    catalogue = load(tmp_path, sounds=READS)
    assert (info(catalogue, "sounds").state, info(catalogue, "sounds").summary) == ("ok", "reads .wav")
    assert catalogue.readers[".wav"](b"RIFF", "a.wav").size == (8, 8)


def test_a_reader_and_an_algorithm_of_one_name_share_an_entry(tmp_path: Path) -> None:
    catalogue = load(tmp_path, mine=GOOD + READS)
    assert info(catalogue, "mine").summary == "a user's own; reads .wav"
    assert "mine" in catalogue.algorithms


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("None", "learnd_readers returned None"),
        ("[read]", "learnd_readers returned ["),
        ('{"wav": read}', "'wav' is no extension"),
        ('{".WAV": read}', "'.WAV' is no extension"),
        ("{7: read}", "7 is no extension"),
        ('{".png": read}', "learnd reads .png files itself"),
        ('{".wav": 7}', "its reader of .wav is 7"),
    ],
)
def test_readers_that_break_the_contract_quarantine_their_plugin(tmp_path: Path, new: str, says: str) -> None:
    catalogue = load(tmp_path, sounds=READS.replace('{".wav": read}', new))
    assert catalogue.readers == {}
    assert info(catalogue, "sounds").state == "quarantined"
    assert says in info(catalogue, "sounds").reason


def test_the_first_to_read_an_extension_keeps_it(tmp_path: Path) -> None:
    catalogue = load(tmp_path, a=READS, b=READS)
    assert catalogue.readers[".wav"].plugin == "a"
    assert "read by the plugin a already" in info(catalogue, "b").reason


# --- observers --------------------------------------------------------------------------------------------------------


OBSERVES = """
from learnd.learning.contract.hooks import hookimpl

@hookimpl
def learnd_event({}):
    with open(__file__ + ".log", "a") as log:
        log.write({})
"""


def test_observers_are_kept_in_order_and_may_leave_the_event_out(tmp_path: Path) -> None:
    catalogue = load(tmp_path, a=OBSERVES.format("event", "event.kind"), b=OBSERVES.format("", "'any'"), mine=GOOD)
    assert [observer.name for observer in catalogue.observers] == ["a", "b"]
    assert info(catalogue, "a").summary == "observes events"
    for observer in catalogue.observers:
        observer.observe(Event(1.0, "learned", "birds", "well done"))
    assert [(tmp_path / f"{name}.py.log").read_text() for name in ("a", "b")] == ["learned", "any"]


# --- backbones --------------------------------------------------------------------------------------------------------

BRINGS = """
from learnd.learning.networks.conv4 import GLYPHS, Conv4
from learnd.learning.contract.hooks import hookimpl
from learnd.learning.networks.zoo import Network

def build():
    return Network("fresh", Conv4(), GLYPHS)

@hookimpl
def learnd_backbones():
    return {"fresh": build}
"""


def test_a_plugin_may_bring_a_network(tmp_path: Path) -> None:
    catalogue = load(tmp_path, nets=BRINGS, rival=BRINGS)
    assert catalogue.backbones["fresh"]().architecture == "fresh"
    assert info(catalogue, "nets").summary == "brings plugin:fresh"
    assert "brings a backbone 'fresh' already" in info(catalogue, "rival").reason


@pytest.mark.parametrize("new", ["None", "[build]", '{"my net": build}', '{"fresh": 7}'])
def test_backbones_that_break_the_contract_quarantine_their_plugin(tmp_path: Path, new: str) -> None:
    catalogue = load(tmp_path, nets=BRINGS.replace('{"fresh": build}', new))
    assert catalogue.backbones == {}
    assert info(catalogue, "nets").state == "quarantined"
