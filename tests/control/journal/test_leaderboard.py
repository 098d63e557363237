"""How the algorithms did is told of what is known, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.journal.leaderboard import Standing
from learnd.messages.report import CandidateScore
from tests.control.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for number, name in enumerate(("cats", "dogs")):
        home.learn(name, f"d{number}")
    return home


def score(name: str, bid: float, accuracy: float | None, outcome: str = "measured") -> CandidateScore:
    return CandidateScore(name, bid, "", 0.1, outcome, accuracy=accuracy, seconds=None if accuracy is None else 0.5)


def learnt(home: Home, name: str, revision: int, *scores: CandidateScore) -> None:
    with home.journal.db.transaction():
        home.journal.history.leaderboard.mark_learnt(name, revision, scores)


def standings(home: Home) -> dict[str, Standing]:
    return home.journal.history.leaderboard.standings()


def test_wins_and_mean_places_are_those_of_all_known_tasks(home: Home) -> None:
    learnt(home, "cats", 1, score("ridge", 0.8, 0.9, "chosen"), score("slda", 0.7, 0.9), score("maml", 0.0, None))
    learnt(home, "dogs", 1, score("ridge", 0.8, 0.6), score("slda", 0.7, 0.8, "chosen"), score("maml", 0.2, 0.5))
    assert standings(home) == {
        "maml": Standing("maml", 1, 1, 0, 3.0, 0.5),
        "ridge": Standing("ridge", 2, 2, 1, (1.5 + 2) / 2, 0.5),  # equal ones share their places
        "slda": Standing("slda", 2, 2, 1, (1.5 + 1) / 2, 0.5),
    }


def test_new_content_takes_the_place_of_the_old_and_a_rollback_brings_it_back(home: Home) -> None:
    learnt(home, "cats", 1, score("ridge", 0.8, 0.9, "chosen"))
    home.learn("cats", "d9")
    learnt(home, "cats", 2, score("slda", 0.8, 0.9, "chosen"))
    assert list(standings(home)) == ["slda"]
    home.generations.roll_back(2)
    assert list(standings(home)) == ["ridge"]


def test_what_is_forgotten_is_not_told_of(home: Home) -> None:
    learnt(home, "cats", 1, score("ridge", 0.8, 0.9, "chosen"))
    home.generations.forget("cats")
    assert standings(home) == {}
    assert home.journal.db.all("SELECT * FROM candidates WHERE task_id = 'cats'") == []
