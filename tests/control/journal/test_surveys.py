"""What surveys found stays for good, but of what is forgotten; the flips are counted as it comes in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from learnd.control.journal.surveys import Share, SurveyResult, matrices
from learnd.metrics import metrics
from tests.control.home import Home

NOBODY = Share(0, 0, None)


def finding(name: str, told: str, digest: str = "d1", on: str = "query") -> SurveyResult:
    return SurveyResult(name, digest, name, Share(9, 10, "query"), Share(told.count("1"), len(told), on), told)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def survey(home: Home, *found: SurveyResult) -> bool:
    return home.journal.surveys.record(home.journal.head, found)


def test_the_matrix_grows_by_a_row_a_version_and_a_column_a_task(home: Home) -> None:
    home.learn("cats", "d1")
    survey(home, finding("cats", "1111"))
    home.learn("dogs", "d2")
    survey(home, finding("cats", "1100"), finding("dogs", "11", "d2"))
    scoped, unified = matrices(home.journal.surveys.all())
    assert (unified.versions, unified.tasks) == ((1, 2), ("cats", "dogs"))
    assert unified.values == ((1.0, None), (0.5, 1.0))
    assert scoped.values == ((0.9, None), (0.9, 0.9))
    assert metrics(unified).forgetting == 0.5
    assert metrics(scoped).forgetting == 0.0


def test_flips_are_counted_against_the_survey_before_and_the_same_questions_alone(home: Home) -> None:
    home.learn("cats", "d1")
    survey(home, finding("cats", "1101"))
    home.learn("dogs", "d2")
    survey(home, finding("cats", "0111"))
    home.learn("ants", "d3")
    survey(home, finding("cats", "000", on="leave-one-out"))
    told = [(one.flips, one.compared, one.correct) for _, one in home.journal.surveys.all()]
    assert told == [(0, 0, ""), (1, 4, ""), (0, 0, "000")]  # of the newest alone it is kept who was told


def test_new_content_is_another_column(home: Home) -> None:
    home.learn("cats", "d1")
    survey(home, finding("cats", "1"))
    home.learn("cats", "e2")
    survey(home, finding("cats", "0", "e2"))
    _, unified = matrices(home.journal.surveys.all())
    assert unified.tasks == ("cats (d1)", "cats (e2)")
    assert unified.values == ((1.0, None), (None, 0.0))


def test_what_was_asked_about_a_head_that_has_moved_is_dropped(home: Home) -> None:
    home.learn("cats", "d1")
    home.learn("dogs", "d2")
    assert not home.journal.surveys.record(1, [finding("cats", "1")])
    assert home.journal.surveys.all() == []
    assert home.journal.surveys.last == 0


def test_forgetting_a_task_takes_its_rows_along(home: Home) -> None:
    for number, name in enumerate(("cats", "dogs")):
        home.learn(name, f"d{number}")
    survey(home, finding("cats", "1", "d0"), finding("dogs", "1", "d1"))
    home.generations.forget("cats")
    assert [one.name for _, one in home.journal.surveys.all()] == ["dogs"]


def test_what_could_not_be_asked_has_no_figure(home: Home) -> None:
    home.learn("cats", "d1")
    survey(home, replace(finding("cats", ""), scoped=NOBODY))
    scoped, unified = matrices(home.journal.surveys.all())
    assert scoped.values == unified.values == ((None,),)
