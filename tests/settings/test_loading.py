"""The settings: every source in its rank, and where each value is from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnd.settings.keys import Settings, WatchSettings
from learnd.settings.loading import flatten, load
from learnd.settings.template import template
from tests.patience import PATIENCE

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test stands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> None:
    Path("config.yaml").write_text(text)


# --- the file in the repository -----------------------------------------------------------------------------


def test_config_yaml_is_the_template_and_says_the_defaults(folder: Path) -> None:
    defaults = load(environ={})
    assert (REPOSITORY / "config.yaml").read_text() == template()
    write(template())
    settings = load(environ={})
    assert settings == defaults
    assert settings.source == folder / "config.yaml"


def test_config_yaml_names_every_key() -> None:
    write(template())
    origins = {setting.key: setting.origin for setting in flatten(load(environ={}))}
    assert {"tasks", "devices", "watch.backend", "knowledge.exemplars_per_class"} <= origins.keys()
    assert {origin.split(":")[0] for origin in origins.values()} == {"config.yaml"}


def test_the_commented_examples_of_plugins_are_good_yaml_once_uncommented() -> None:
    head, examples = template().split("plugins:\n")[0], template().split("plugins:\n")[1]
    write(f"{head}plugins:\n{examples.replace('# ', '', 1).replace(chr(10) + '  # ', chr(10) + '  ')}")
    assert load(environ={}).plugins == {
        "matching": {"context": True},
        "ridge": {"strength": 1.0},
        "finetune": {"blocks": 1, "steps": 100, "rate": 0.001},
    }


# --- sources and their rank ---------------------------------------------------------------------------------


def test_without_any_source_the_defaults_hold_and_paths_start_from_the_working_folder(folder: Path) -> None:
    settings = load(environ={})
    assert (settings.tasks, settings.state) == (folder / "tasks", folder / "state")
    assert (settings.backbone, settings.devices) == ("lite0-meta", "auto")
    assert settings.watch == WatchSettings()
    assert settings.source is None
    assert set(settings.origins.values()) == {"default"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "watch:\nplugins:\n", "watch: {}\n", "\ufeffwatch:\n"])
def test_a_file_that_says_nothing_changes_nothing(text: str) -> None:
    defaults = load(environ={})
    write(text)
    assert load(environ={}) == defaults


def test_each_source_overrides_the_one_before_and_leaves_the_rest() -> None:
    write("watch:\n  backend: polling\n  quiet_seconds: 1\n  poll_seconds: 3\n")
    environ = {"LEARND_WATCH__QUIET_SECONDS": "0.5", "LEARND_WATCH__POLL_SECONDS": "0.2"}
    settings = load(flags={"watch.poll_seconds": "0.1"}, environ=environ)
    assert settings.watch == WatchSettings("polling", 0.5, 30.0, 0.1)
    assert {name: settings.origins[f"watch.{name}"] for name in ("backend", "quiet_seconds", "rescan_seconds")} == {
        "backend": "config.yaml:2",
        "quiet_seconds": "LEARND_WATCH__QUIET_SECONDS",
        "rescan_seconds": "default",
    }
    assert settings.origins["watch.poll_seconds"] == "--watch-poll-seconds"


def test_paths_of_a_file_start_from_its_folder_and_those_of_a_shell_from_where_it_is(
    folder: Path,
) -> None:
    Path("etc").mkdir()
    Path("etc/my.yaml").write_text("tasks: ../drop\nbackbone: timm:resnet18@weights/r18.pth\n")
    settings = load(Path("etc/my.yaml"), flags={"state": "kept"}, environ={"LEARND_PLUGINS_DIR": "mine"})
    assert settings.tasks == folder / "drop"
    assert settings.backbone == f"timm:resnet18@{folder}/etc/weights/r18.pth"
    assert (settings.state, settings.plugins_dir) == (folder / "kept", folder / "mine")
    assert settings.source == folder / "etc/my.yaml"
    assert settings.origins["tasks"] == "etc/my.yaml:1"


def test_a_tilde_is_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    write("tasks: ~/drop\n")
    assert load(environ={}).tasks == folder / "home/drop"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("0", False), ("true", True)])
def test_a_switch_in_the_environment_may_be_1_or_0(text: str, value: bool) -> None:
    assert load(environ={"LEARND_PLUGINS_STRICT": text}).plugins_strict is value


def test_a_path_from_the_environment_is_taken_as_it_stands() -> None:
    settings = load(environ={"LEARND_TASKS": "5", "LEARND_STATE": "a: [b #c"})
    assert (settings.tasks.name, settings.state.name) == ("5", "a: [b #c")


def test_the_variables_that_are_no_settings_are_left_alone() -> None:
    assert load(environ={"LEARND_DATA": "/x", "LEARND_CONFIG": "/y", "PATH": "/bin", "_LEARND_COMPLETE": "bash"})


def test_plugin_options_merge_one_by_one_and_look_like_what_they_are() -> None:
    write("plugins:\n  ridge: {strength: 1e-3, blocks: [1, 2]}\n  mine:\n    word: x\n    enabled: false\n")
    settings = load(flags={"plugins.ridge.name": "r"}, environ={"LEARND_PLUGINS__RIDGE__BLOCKS": "[3]"})
    assert settings.plugins["ridge"] == {"strength": 0.001, "blocks": [3], "name": "r"}
    assert settings.plugins["mine"] == {"word": "x", "enabled": False}
    assert settings.origins["plugins.ridge.strength"] == "config.yaml:2"
    assert settings.origins["plugins.ridge.blocks"] == "LEARND_PLUGINS__RIDGE__BLOCKS"
    assert settings.origins["plugins.mine.enabled"] == "config.yaml:5"


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", "auto"),
        ("cpu", ("cpu",)),
        ("[cpu, cpu]", ("cpu", "cpu")),
        ("[cuda:0, cuda:1]", ("cuda:0", "cuda:1")),
        ("[cuda]", ("cuda",)),
    ],
)
def test_devices_are_auto_or_a_list_in_which_one_may_stand_twice(text: str, devices: object) -> None:
    write(f"devices: {text}\n")
    assert load(environ={}).devices == devices
    assert load(environ={"LEARND_DEVICES": text}).devices == devices
    assert load(flags={"devices": text}, environ={}).devices == devices


@pytest.mark.parametrize(("text", "number"), [("1", 1.0), ("0.5", 0.5), ("1e2", 100.0), ("1_000", 1000.0)])
def test_a_number_is_read_as_a_person_writes_it(text: str, number: float) -> None:
    write(f"watch:\n  quiet_seconds: {text}\n")
    assert load(environ={}).watch.quiet_seconds == number


def test_flatten_lists_every_key_as_plain_data_with_its_origin_and_help() -> None:
    write("devices: [cpu, cpu]\nplugins:\n  ridge:\n    strength: 2\n")
    listed = {setting.key: setting for setting in flatten(load(environ={}))}
    assert list(listed)[:5] == ["tasks", "state", "plugins_dir", "plugins_strict", "backbone"]
    assert (listed["devices"].value, listed["devices"].origin) == (["cpu", "cpu"], "config.yaml:1")
    assert isinstance(listed["tasks"].value, str)
    assert (listed["plugins.ridge.strength"].value, listed["plugins.ridge.strength"].origin) == (
        2,
        "config.yaml:4",
    )
    assert listed["watch.quiet_seconds"].help.startswith("Treat a folder as complete when nothing in it has changed")


# --- cost ---------------------------------------------------------------------------------------------------


def test_importing_the_settings_does_not_load_yaml() -> None:
    code = "import learnd.settings, sys; sys.exit('yaml' in sys.modules or 'difflib' in sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY / "daemon")}
    assert subprocess.run([sys.executable, "-c", code], env=environ, timeout=PATIENCE).returncode == 0


def test_settings_are_values_that_cannot_change() -> None:
    with pytest.raises(AttributeError):
        Settings().backbone = "conv4"  # type: ignore[misc]
