"""Following the journal gives the same facts as reading it from the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from learnd.control.journal.journal import Journal
from learnd.control.journal.surveys import Share, SurveyResult
from learnd.messages.outcomes import Related, Twin
from learnd.ui.dashboard.journal_reader import Facts, JournalReader
from tests.control.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.journal.close()


def read_again(home: Home) -> Facts:
    journal = Journal(home.state / "journal.sqlite", readonly=True)
    facts = JournalReader(journal).read()
    journal.close()
    return facts


def test_a_reader_that_follows_and_one_that_starts_late_see_the_same(home: Home) -> None:
    journal = Journal(home.state / "journal.sqlite", readonly=True)
    reader = JournalReader(journal)
    assert reader.read().curve == ()
    for name in ("a", "b", "c"):
        home.learn(name)
        assert reader.read() == read_again(home)
    home.learn("b", digest="d2")
    home.lease("d")
    assert reader.read() == read_again(home)
    home.generations.roll_back(3)
    facts = reader.read()
    assert facts == read_again(home)
    home.generations.forget("a")
    assert reader.read() == read_again(home)
    assert [row["name"] for row in facts.running] == ["d"]
    assert [point.tasks for point in facts.curve] == [1, 2, 3, 3, 3]
    journal.close()


def test_the_filter_matches_literally_any_part_of_a_name(home: Home) -> None:
    for name in ("a%b", "axb", "50_"):
        home.learn(name)
    journal = Journal(home.state / "journal.sqlite", readonly=True)
    reader = JournalReader(journal)
    assert [row["name"] for row in reader.read(filter="%").results] == ["a%b"]
    assert [row["name"] for row in reader.read(filter="_").results] == ["50_"]
    assert len(reader.read(rows=1, filter="a").results) == 1
    journal.close()


def test_the_accuracies_now_are_those_of_the_newest_survey(home: Home) -> None:
    reader = JournalReader(home.journal)
    assert reader.read().accuracies_now == ()
    for number, name in enumerate(("cats", "dogs")):
        home.learn(name, f"new {number}")
        head = home.journal.head
        found = [SurveyResult(one, one, one, Share(1, 1, "query"), Share(head, 9, "query")) for one in ("cats", "dogs")]
        assert home.journal.surveys.record(head, found)
    assert reader.read().accuracies_now == (home.journal.head / 9,) * 2


def test_a_result_says_how_many_images_of_earlier_tasks_were_forgotten(home: Home) -> None:
    home.learn("cats", "first")
    ours = Share(9, 10, "query")
    assert home.journal.surveys.record(1, [SurveyResult("cats", "first", "cats", ours, ours, "1" * 9 + "0")])
    home.learn("dogs", "second")
    now = Share(7, 10, "query")
    cats = SurveyResult("cats", "first", "cats", ours, now, "1" * 7 + "000")
    assert home.journal.surveys.record(2, [cats, SurveyResult("dogs", "second", "dogs", ours, ours)])
    costs = {row["name"]: (row["flips"], row["compared"]) for row in read_again(home).results}
    assert costs == {"cats": (None, None), "dogs": (2, 10)}


def test_suggested_joins_are_counted(home: Home) -> None:
    for number, name in enumerate(("cats", "dogs")):
        home.learn(name, f"new {number}")
    assert read_again(home).joins == 0
    found = Related("cats", (), (Twin("a", "dogs", "b", 0.9),))
    home.journal.history.relations.record(2, [found], {"cats": "cats", "dogs": "dogs"})
    assert read_again(home).joins == 1
