"""`learnd plugins check` and `new`: a plugin that crashes or hangs fails its check, and never takes the asker along."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from learnd.learning.contract.hooks import CONTRACT, MADE_FOR
from learnd.learning.plugin_host.discovery import find_plugins
from learnd.settings.keys import Settings
from learnd.ui.conformance_kit import conformance
from tests.patience import PATIENCE
from tests.ui.conftest import Command

pytestmark = pytest.mark.slow  # the kit is a process that imports torch

FAULTY = """
import os, time
from dataclasses import dataclass
from typing import ClassVar
import torch
from learnd.learning.contract.algorithm import Bid, HeadAlgorithm
from learnd.learning.contract.hooks import hookimpl

@dataclass(frozen=True)
class Faulty(HeadAlgorithm):
    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "bids too much; a dangerous one ends the process at one shot, and hangs at many classes"

    dangerous: bool = False

    def bid(self, task):
        return Bid(2.0, "trust me", 0.001)

    def fit(self, features, labels, ways, ctx):
        if self.dangerous and len(labels) == ways:
            os.abort()
        if self.dangerous and ways == 50:
            time.sleep(3600)
        return {"means": torch.stack([features[labels == k].mean(0) for k in range(ways)])}

    def score(self, state, features):
        return -torch.cdist(features, state["means"])

@hookimpl
def learnd_algorithms():
    return [Faulty]
"""


def test_a_plugin_that_crashes_or_hangs_has_failed_that_check_alone(home: Path) -> None:
    (home / "faulty.py").write_text(FAULTY)
    settings = replace(Settings(), plugins={"faulty": {"dangerous": True}})
    with conformance(str(home / "faulty.py"), settings, seconds=10) as kit:
        hello = kit.hello()
        assert [plugin.options for plugin in hello.plugins] == [{"dangerous": True}]
        some = [pair for pair in hello.checks if pair[0].split()[1] in ("bid", "one-shot", "many-ways", "learns")]
        verdicts = {verdict.check: verdict for verdict in kit.verdicts(some)}
    assert {name: verdict.outcome for name, verdict in verdicts.items()} == {
        "bid": "failed",
        "one-shot": "failed",
        "many-ways": "failed",
        "learns": "passed",
    }
    assert "SIGABRT" in verdicts["one-shot"].seen
    assert verdicts["many-ways"].seen == "the check took more than 10 s"
    assert all(verdict.promise for verdict in verdicts.values())


def test_a_failed_check_is_the_exit_code_and_is_explained(learnd: Command, home: Path) -> None:
    (home / "faulty.py").write_text(FAULTY)
    said = learnd("plugins", "check", "faulty.py")
    assert said.code == 1
    assert "failed  faulty bid" in said.out
    assert "the score is 2.0\n    -> let the score lie in [0, 1]" in said.out
    assert "1 check of 15 failed" in said.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import os; os.abort()", "to import it ended the process, which was killed by SIGABRT"),
        ("def oops(:", "SyntaxError"),
        ("x = 1", "implements no hook"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_reported_as_quarantined(
    text: str, reason: str, learnd: Command, home: Path
) -> None:
    (home / "broken.py").write_text(text)
    said = learnd("plugins", "check", "broken.py", "--json")
    assert said.code == 1
    (plugin,) = said.json["plugins"]
    assert (plugin["name"], plugin["state"]) == ("broken", "quarantined")
    assert reason in plugin["reason"]
    assert said.json["checks"] == []


def test_what_is_not_there_is_wrong_usage(learnd: Command, home: Path) -> None:
    assert learnd("plugins", "check", "nowhere.py").code == 2
    unknown = learnd("plugins", "check", "rigde")
    assert unknown.code == 2
    assert "did you mean 'ridge'?" in unknown.err


def test_a_new_plugin_with_an_outer_loop_keeps_every_promise(learnd: Command, home: Path) -> None:
    # One without is put to the same checks by the test that is written beside it: see below.
    assert learnd("plugins", "new", "my_own", "--meta").code == 0
    said = learnd("plugins", "check", "plugins/my_own.py")
    assert said.code == 0, said.out
    assert "passed  my_own another-process" in said.out
    assert "it keeps every promise" in said.out


def test_a_new_plugin_has_a_test_that_passes_and_is_no_plugin_itself(learnd: Command, home: Path) -> None:
    assert learnd("init").code == 0
    assert learnd("plugins", "new", "my_own").code == 0
    listed = [path.name for path in sorted((home / "plugins").glob("*.py"))]
    assert listed == ["my_own.py", "test_my_own.py"]
    assert [found.name for found in find_plugins(home / "plugins") if found.source.startswith(str(home))] == ["my_own"]

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins/test_my_own.py"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_a_plugin_made_for_another_contract_fails_the_check_by_both_numbers(learnd: Command, home: Path) -> None:
    assert learnd("plugins", "new", "mine").code == 0
    file = home / "plugins" / "mine.py"
    file.write_text(file.read_text().replace(f"{MADE_FOR} = {CONTRACT}", f"{MADE_FOR} = 7"))
    said = learnd("plugins", "check", file)
    assert said.code == 1
    assert f"made for version 7 of the plugin contract, and this learnd has version {CONTRACT}" in " ".join(
        said.out.split()
    )


def test_a_new_plugin_overwrites_nothing_and_has_a_fit_name(learnd: Command, home: Path) -> None:
    (home / "plugins").mkdir()
    (home / "plugins" / "mine.py").write_text("precious")
    said = learnd("plugins", "new", "mine")
    assert said.code == 1
    assert "it is there already" in said.err
    assert (home / "plugins" / "mine.py").read_text() == "precious"
    for name in ("Mine", "two words", "../up", "class", "test_mine", "_mine", "conftest", ""):
        assert learnd("plugins", "new", name).code == 2
    assert [path.name for path in (home / "plugins").iterdir()] == ["mine.py"]
    (home / "plugins" / "mine.py").rename(home / "plugins" / "test_mine.py")
    assert learnd("plugins", "new", "mine").code == 1
    assert [path.name for path in (home / "plugins").iterdir()] == ["test_mine.py"]
