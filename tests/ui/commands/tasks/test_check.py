"""`check` says what the daemon would say of a folder, `config` what it would take from its settings."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.ui.conftest import Command


@pytest.fixture
def folder(home: Path) -> Path:
    """A task that has been quiet for an hour."""
    before = time.time() - 3600
    for name, shade in (("dark", 10), ("light", 240)):
        (home / "shades" / name).mkdir(parents=True)
        for number in range(3):
            place = home / "shades" / name / f"{number}.png"
            Image.new("L", (8, 8), shade + number).save(place)
            os.utime(place, (before, before))
    return home / "shades"


def test_a_good_folder_is_ready_and_fit(folder: Path, learnd: Command) -> None:
    said = learnd("check", folder, "--json")

    assert said.code == 0
    data = said.json
    assert (data["schema"], data["name"], data["ready"], data["valid"]) == (1, "shades", True, True)
    assert (data["ways"], data["images"], data["queries"], data["problems"]) == (2, 6, 0, [])
    assert "no file has changed for 2 s" in learnd("check", "shades").out


def test_every_problem_is_told_with_its_place_and_remedy(folder: Path, learnd: Command) -> None:
    (folder / "empty").mkdir()
    (folder / "dark" / "broken.png").write_text("no image")

    said = learnd("check", folder, "--json")

    assert said.code == 1
    problems = {problem["code"]: problem for problem in said.json["problems"]}
    assert problems.keys() == {"empty-class", "wrong-format"}
    assert problems["wrong-format"]["where"] == "dark/broken.png"
    assert all(problem["remedy"] for problem in problems.values())
    text = learnd("check", folder)
    assert text.code == 1
    assert "not fit to be learnt: 2 errors" in text.out
    assert "error [empty-class] empty: holds no image\n    -> " in text.out


def test_a_warning_does_not_stand_in_the_way(folder: Path, learnd: Command) -> None:
    (folder / "dark" / "notes.txt").write_text("taken at night")

    said = learnd("check", folder)

    assert said.code == 0
    assert "warning [not-an-image] dark/notes.txt" in said.out
    assert "\n  fit to be learnt\n" in said.out


@pytest.mark.parametrize("name", ["birds.tmp", ".birds", "birds.part"])
def test_a_name_that_the_daemon_ignores_is_said(name: str, folder: Path, learnd: Command) -> None:
    folder.rename(folder.with_name(name))

    said = learnd("check", name)

    assert said.code == 1
    assert "error [ignored-name] the task folder: such a name" in said.out
    assert "not ready yet: the daemon ignores a folder of this name" in said.out
    assert "-> rename it" in said.out


def test_a_folder_is_known_by_its_name_however_it_is_given(folder: Path, learnd: Command) -> None:
    data = learnd("check", folder / "dark" / "..", "--json").json
    assert (data["name"], data["problems"]) == ("shades", [])


def test_a_fresh_file_is_not_ready_but_the_marker_makes_it_so(folder: Path, learnd: Command) -> None:
    Image.new("L", (8, 8), 77).save(folder / "dark" / "new.png")

    data = learnd("check", folder, "--json").json
    assert (data["ready"], data["valid"]) == (False, True)
    assert "2 s without a change are needed" in data["reason"]

    (folder / ".ready").touch()
    assert learnd("check", folder, "--json").json["ready"] is True


def test_the_folder_itself_may_be_here(folder: Path, learnd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert learnd("check", ".", "--json").json["name"] == "shades"


@pytest.mark.parametrize("what", ["nowhere", "a-file"])
def test_what_is_no_folder_is_wrong_usage(what: str, home: Path, learnd: Command) -> None:
    (home / "a-file").touch()

    assert learnd("check", what).code == 2


def test_config_shows_where_each_value_is_from(home: Path, learnd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config.yaml").write_text("backbone: conv4\nplugins:\n  ridge:\n    strength: 2\n")
    monkeypatch.setenv("LEARND_WATCH__BACKEND", "polling")

    data = learnd("config", "show", "--json").json

    rows = {row["key"]: row for row in data["settings"]}
    assert rows["backbone"]["value"] == "conv4"
    assert rows["backbone"]["origin"].endswith("config.yaml:1")
    assert rows["watch.backend"]["origin"] == "LEARND_WATCH__BACKEND"
    assert rows["routing.folds"]["origin"] == "default"
    assert rows["plugins.ridge.strength"]["value"] == 2
    assert "LEARND_WATCH__BACKEND" in learnd("config").out


def test_validate_says_that_all_is_well(home: Path, learnd: Command) -> None:
    (home / "config.yaml").write_text("backbone: conv4\n")

    assert learnd("config", "validate").out == f"{home / 'config.yaml'}: in order\n"
    assert learnd("config", "validate", "--json").json["valid"] is True


def test_validate_ends_a_mistake_with_2_and_its_place(home: Path, learnd: Command) -> None:
    (home / "config.yaml").write_text("\nbackbne: conv4\n")

    said = learnd("config", "validate")
    assert said.code == 2
    assert "config.yaml:2" in said.err
    assert "did you mean backbone?" in said.err
    assert learnd("config", "validate", "--json").code == 2


def test_validate_lists_every_mistake_on_its_own(home: Path, learnd: Command) -> None:
    (home / "config.yaml").write_text("tasks: 5\nbackbne: conv4\n")

    said = learnd("config", "validate", "--json")

    problems = json.loads(said.out)["problems"]
    assert [problem["where"].rsplit(":")[-1] for problem in problems] == ["1", "2"]
    assert problems[1]["what"] == 'unknown key "backbne"'
    assert problems[1]["remedy"] == "did you mean backbone?"
