"""Every mistake in the settings, or in a task.yaml, is named with its place, its key and what fits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from learnd.errors import SettingsError
from learnd.messages.task import TaskOptions
from learnd.settings.loading import load, read_task_options

NONE: Mapping[str, str] = MappingProxyType({})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test stands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(text: str = "", *, flags: Mapping[str, str] = NONE, environ: Mapping[str, str] = NONE) -> str:
    """What `load` says against this config.yaml, this environment and these flags."""
    Path("config.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(flags=flags, environ=environ)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "watch:\n  quiet_second: 2\n",
            'config.yaml:2: unknown key "quiet_second" in watch\n  -> did you mean quiet_seconds?',
        ),
        (
            "quiet_seconds: 2\n",
            'config.yaml:1: unknown key "quiet_seconds"\n  -> did you mean watch.quiet_seconds?',
        ),
        (
            "knowledge:\n  zebra: 2\n",
            'config.yaml:2: unknown key "zebra" in knowledge\n  -> the keys here are exemplars_per_class',
        ),
        ("origins: {}\n", 'config.yaml:1: unknown key "origins"'),
        (
            "watch:\n  quiet_seconds: soon\n",
            "config.yaml:2: watch.quiet_seconds must be a number from 0 to 3_600, not soon",
        ),
        (
            "watch:\n  quiet_seconds: -1\n",
            "config.yaml:2: watch.quiet_seconds must be a number from 0 to 3_600, not -1",
        ),
        ("watch:\n  quiet_seconds: .nan\n", "must be a number from 0 to 3_600, not .nan"),
        ("watch:\n  quiet_seconds: 1e999\n", "must be a number from 0 to 3_600, not 1e999"),
        ("watch:\n  quiet_seconds: 1:30\n", "must be a number from 0 to 3_600, not 1:30"),
        (
            "watch:\n  quiet_seconds:\n",
            "config.yaml:2: watch.quiet_seconds must be a number from 0 to 3_600, not nothing",
        ),
        (
            "worker:\n  attempts: 2.5\n",
            "config.yaml:2: worker.attempts must be a whole number from 1 to 100, not 2.5",
        ),
        (
            'worker:\n  attempts: "2"\n',
            'worker.attempts must be a whole number from 1 to 100, not the text "2"',
        ),
        ("worker:\n  attempts: yes\n", "worker.attempts must be a whole number from 1 to 100, not yes"),
        ("worker:\n  attempts: [2]\n", "worker.attempts must be a whole number from 1 to 100, not a list"),
        (
            "watch:\n  backend: poling\n",
            "config.yaml:2: watch.backend must be auto, inotify or polling, not poling\n  -> did you mean polling?",
        ),
        ("watch: polling\n", "config.yaml:1: watch must be a section of keys and values, not polling"),
        ("- tasks\n", "config.yaml:1: this must be a section of keys and values, not a list"),
        ("tasks: 5\n", 'config.yaml:1: tasks must be a path, not 5\n  -> put it in quotes: "5"'),
        ("tasks: {}\n", "config.yaml:1: tasks must be a path, not a mapping"),
        ('tasks: ""\n', 'config.yaml:1: tasks must be a path, not the text ""'),
        ('tasks: "a\\0b"\n', "config.yaml:1: tasks must be a path"),
        (
            "backbone: lite-0\n",
            "config.yaml:1: backbone must be conv4, conv4-views, conv4-rgb, lite0, lite0-meta, timm:<model>, "
            "plugin:<name> or <one of them>@<file>, "
            "not lite-0\n"
            "  -> did you mean lite0?",
        ),
        ("backbone: resnet18\n", "not resnet18\n  -> did you mean timm:resnet18?"),
        ('backbone: "timm:"\n', 'not the text "timm:"'),
        (
            "devices:\n  - cpu\n  - cuda0\n",
            "config.yaml:3: devices must be auto, or a list of cpu, cuda and cuda:<number>, not cuda0\n"
            "  -> did you mean cuda:0?",
        ),
        (
            "devices: []\n",
            "devices must be auto, or a list of cpu, cuda and cuda:<number>, not an empty list",
        ),
        ("devices: [cpu, auto]\n", "not auto"),
        ("devices: {cpu: 2}\n", "not a mapping"),
        ("plugins: [ridge]\n", "config.yaml:1: plugins must be a section of keys and values, not a list"),
        (
            "plugins:\n  ridge: 2\n",
            "config.yaml:2: plugins.ridge must be a section of keys and values, not 2",
        ),
        (
            "plugins:\n  ridge:\n    a: {b: 1}\n",
            "config.yaml:3: plugins.ridge.a must be a value or a list of values, not a mapping",
        ),
        (
            "tasks: a\nstate: b\ntasks: c\n",
            "config.yaml:3: tasks is set twice, first on line 1\n  -> keep one of the two",
        ),
        ("? [a, b]\n: 1\n", 'config.yaml:1: unknown key "a list"'),
        ("state: tasks/state\n", "config.yaml:1: tasks ("),
        ("tasks: .\n", "must be two folders, none inside the other"),
    ],
)
def test_a_mistake_in_the_file_is_said_with_its_line_its_key_and_what_fits(text: str, said: str) -> None:
    assert said in complaint(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tasks: a\nwatch: [1, 2\nstate: b\n", 3),
        ("watch:\n\tbackend: auto\n", 2),
        ("tasks: 'a\n", 2),
        ("tasks: *nowhere\n", 1),
        ("tasks: a: b\n", 1),
        ("tasks: a\n---\nstate: b\n", 2),
        ("tasks: a\nstate: b\x07\n", 2),
        ("tasks: a\nplugins:" + " [" * 300_000, 2),
        ("tasks: a\nplugins:\n  x:\n" + "- " * 300_000, 4),
    ],
)
def test_what_is_no_yaml_is_one_error_with_its_line(text: str, line: int) -> None:
    assert complaint(text).startswith(f"config.yaml:{line}: n")


def test_a_file_that_is_no_utf8_is_one_error_with_its_line() -> None:
    Path("latin.yaml").write_bytes(b"tasks: a\nstate: \xe9\xe8\n")
    with pytest.raises(SettingsError, match=r"^latin\.yaml:2: no UTF-8 text"):
        load(Path("latin.yaml"), environ={})


def test_a_file_that_was_asked_for_must_be_there(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"^none\.yaml: cannot be read: No such file or directory\n  -> lear"):
        load(Path("none.yaml"), environ={})
    with pytest.raises(SettingsError, match="Is a directory"):
        load(folder, environ={})


def test_mistakes_of_all_sources_are_said_at_once() -> None:
    said = complaint(
        "watch:\n  backend: fast\n  nap: 1\nworker: {threads: many}\n",
        flags={"devices": "gpu"},
        environ={"LEARND_BACKBON": "conv4", "LEARND_ROUTING__FOLDS": "1"},
    )
    assert re.findall(r"^(.*?):(?= )", said, re.MULTILINE)[0] == "settings"
    assert re.findall(r"^  (\S+): ", said, re.MULTILINE) == [
        "config.yaml:2",
        "config.yaml:3",
        "config.yaml:4",
        "LEARND_BACKBON",
        "LEARND_ROUTING__FOLDS",
        "--devices",
    ]
    assert said.startswith("settings: 6 problems\n")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "LEARND_WATCH__QUIET_SECOND",
            "1",
            "LEARND_WATCH__QUIET_SECOND: no such setting\n  -> did you mean 'LEARND_WATCH__QUIET_SECONDS'?",
        ),
        ("LEARND_HOME", "/x", "LEARND_HOME: no such setting\n  -> unset it"),
        ("LEARND_WATCH", "polling", "LEARND_WATCH: watch must be a section of keys and values"),
        (
            "LEARND_WORKER__THREADS",
            "",
            "LEARND_WORKER__THREADS: worker.threads must be a whole number from 0 to 1_024",
        ),
        ("LEARND_DEVICES", "[cpu", "LEARND_DEVICES: no valid YAML"),
        ("LEARND_BACKBONE", "conv", 'not the text "conv"\n  -> did you mean conv4?'),
        ("LEARND_TASKS__X", "1", "LEARND_TASKS__X: no such setting"),
    ],
)
def test_a_mistake_in_the_environment_is_said_with_its_name(name: str, text: str, said: str) -> None:
    assert said in complaint(environ={name: text})


def test_a_mistake_in_a_flag_is_said_with_its_name() -> None:
    assert complaint(flags={"watch.backend": "x"}).startswith("--watch-backend: watch.backend must be auto, i")
    assert complaint(flags={"statr": "x"}) == '--statr: unknown key "statr"\n  -> did you mean state?'


def test_control_characters_of_a_file_never_reach_the_screen() -> None:
    assert "\x1b" not in complaint('"\\e[31m": 1\nbackbone: "\\e[31m"\n')


# --- task.yaml ----------------------------------------------------------------------------------------------


def test_a_task_yaml_may_say_nothing_something_or_everything() -> None:
    assert read_task_options("", "task.yaml") == TaskOptions()
    assert read_task_options("algorithm:\npriority: -3\n", "task.yaml") == TaskOptions(priority=-3)
    text = "algorithm: ridge\npriority: 5\nholdout: 0.2\ndomain: cells\ndescription: from two smears\n"
    assert read_task_options(text, "task.yaml") == TaskOptions("ridge", 5, 0.2, "cells", "from two smears")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "# hm\nalgoritm: ridge\n",
            'birds/task.yaml:2: unknown key "algoritm"\n  -> did you mean algorithm?',
        ),
        ("holdout: 1\n", "birds/task.yaml:1: holdout must be a number from 0 to 0.9, not 1"),
        (
            "priority: 9999\n",
            "birds/task.yaml:1: priority must be a whole number from -1_000 to 1_000, not 9999",
        ),
        (
            "description: 2024\n",
            'birds/task.yaml:1: description must be text, not 2024\n  -> put it in quotes: "2024"',
        ),
        ("algorithm: [a]\n", "birds/task.yaml:1: algorithm must be text, not a list"),
        ("ridge\n", "birds/task.yaml:1: this must be a section of keys and values, not ridge"),
        ("&a [*a]\n", "birds/task.yaml:1: this must be a section of keys and values, not a list"),
        ("[" * 300_000, "birds/task.yaml:1: nested too deeply"),
        ("a: 1\nb: 2\n", "birds/task.yaml: 2 problems\n  birds/task.yaml:1: unknown"),
    ],
)
def test_a_mistake_in_a_task_yaml_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_task_options(text, "birds/task.yaml")
    assert str(caught.value).startswith(said)
