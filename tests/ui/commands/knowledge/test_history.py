"""`learnd history`, as people and scripts use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.journal.surveys import Share, SurveyResult
from learnd.ui.commands.knowledge.history import STRIP, strip
from tests.ui.conftest import Command, learn


@pytest.fixture
def surveyed(state: Path) -> Path:
    """The state with one more task, asked about after each."""
    journal = Journal(state / JOURNAL)

    def asked(**told: str) -> None:
        found = [
            SurveyResult(name, name, name, Share(9, 10, "query"), Share(bits.count("1"), len(bits), "query"), bits)
            for name, bits in told.items()
        ]
        assert journal.surveys.record(journal.head, found)

    asked(birds="1111")
    with journal.db.transaction():
        journal.db.run("DELETE FROM jobs WHERE state = 'queued'")  # else "next" would be learnt first
    learn(journal, state, "moths")
    asked(birds="1110", moths="01")
    journal.close()
    return state


def test_it_gives_the_matrix_and_what_it_comes_to(learnd: Command, surveyed: Path) -> None:
    data = learnd("history", "--json").json
    assert (data["schema"], data["versions"], data["tasks"]) == (1, [1, 2], ["birds", "moths"])
    assert data["unified"] == [[1.0, None], [0.75, 0.5]]
    assert data["scoped"] == [[0.9, None], [0.9, 0.9]]
    assert (data["flips"], data["compared"]) == ([0, 1], [0, 4])
    assert data["metrics"]["unified"] == {
        "accuracy": 0.625,
        "backward_transfer": -0.25,
        "forgetting": 0.25,
        "forward_transfer": None,
        "learning_accuracy": 0.75,
        "negative_flip_rate": 0.25,
    }
    assert data["metrics"]["scoped"]["forgetting"] == 0.0


def test_people_see_a_line_a_task_and_the_figures(learnd: Command, surveyed: Path) -> None:
    lines = [line.split() for line in learnd("history").out.splitlines()]
    assert ["birds", "1", "0.900", "1.000", "1.000", "0.750", "97"] in lines
    assert ["moths", "2", "0.900", "0.500", "0.500", "0.500", "-5"] in lines
    assert ["forgetting", "0.250", "0.000"] in lines


def test_a_strip_shows_the_last_versions() -> None:
    assert strip((None, 0.0, 0.55, 1.0)) == "-059"
    assert strip((0.0,) + (1.0,) * STRIP) == "9" * STRIP


def test_pictures_are_written(learnd: Command, surveyed: Path, home: Path) -> None:
    assert learnd("history", "--svg", "r.svg", "--png", "r.png").code == 0
    assert "moths, version 2: 0.500" in (home / "r.svg").read_text()
    with Image.open(home / "r.png") as image:
        assert image.format == "PNG"


def test_a_picture_that_cannot_be_written_is_an_error_that_says_so(learnd: Command, surveyed: Path) -> None:
    said = learnd("history", "--svg", "nowhere/r.svg")
    assert said.code == 1
    assert "nowhere/r.svg: cannot be written" in said.err


def test_before_anything_was_asked_it_says_so(learnd: Command, home: Path) -> None:
    assert learnd("history", "--json").json["tasks"] == []
    assert "nothing was asked yet" in learnd("history").err
