"""When the knowledge is surveyed, of which tasks is asked, and what of the answers is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnd.control.dispatch.survey_schedule import Surveying, sample
from learnd.control.journal.surveys import Share
from learnd.identity import sha256_of
from learnd.messages.jobs import Member, TaskToSurvey
from learnd.messages.outcomes import Outcome, OutcomeStatus, Surveyed
from learnd.messages.state_files import CLASSIFIER_FILE, MANIFEST_FILE, REPORT_FILE
from tests.control.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


class Survey:
    def __init__(self, home: Home, limit: int = 64) -> None:
        self.notices: list[tuple[str, str]] = []
        self.work = home.state / "work" / "survey" / "out"
        self.surveying = Surveying(
            home.journal, home.generations, limit, lambda level, text: self.notices.append((level, text))
        )

    def well(self) -> Outcome:
        """Of three images of cats two were classified correctly."""
        return Outcome(OutcomeStatus.DONE, files=self.head(), surveyed=(Surveyed("cats", "leave-one-out", "110"),))

    def head(self) -> dict[str, str]:
        """As a worker leaves it."""
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / CLASSIFIER_FILE).write_bytes(b"a head")
        return {CLASSIFIER_FILE: sha256_of(self.work / CLASSIFIER_FILE)}


def test_the_head_is_kept_as_long_as_it_is_that_of_what_is_known(home: Home) -> None:
    assert home.generations.head_file() is None
    home.learn("cats", "d1")
    done = Survey(home)
    assert done.surveying.spec(done.work) is not None
    done.surveying.came(1, Outcome(OutcomeStatus.DONE, files=done.head()), done.work)
    file = home.generations.head_file()
    assert file is not None
    assert sha256_of(Path(file.path)) == file.sha256
    home.learn("dogs", "d2")
    assert home.generations.head_file() is None
    home.generations.forget("dogs")
    assert not Path(file.path).exists()
    Path(file.path).write_bytes(b"as if a kill had left it")
    home.generations.prepare()
    assert not Path(file.path).exists()


def test_a_version_is_asked_about_once(home: Home) -> None:
    done = Survey(home)
    assert not done.surveying.due()  # nothing is known
    home.learn("cats", "d1")
    assert done.surveying.due()
    spec = done.surveying.spec(done.work)
    assert spec is not None
    assert (spec.version, [member.name for member in spec.members]) == (1, ["cats"])
    assert spec.asked == (TaskToSurvey("cats", None),)
    assert not done.surveying.due()
    done.surveying.came(1, done.well(), done.work)
    ((version, found),) = home.journal.surveys.all()
    assert (version, found.unified, found.correct) == (1, Share(2, 3, "leave-one-out"), "110")
    assert found.scoped == Share(9, 10, "cross-validation")  # as the report of the candidate says
    assert not Survey(home).surveying.due()  # nor after the next start
    home.learn("dogs", "d2")
    assert done.surveying.due()


def test_one_that_made_way_is_taken_up_again_and_one_that_failed_is_not(home: Home) -> None:
    home.learn("cats", "d1")
    done = Survey(home)
    assert done.surveying.spec(done.work) is not None
    done.surveying.came(1, Outcome(OutcomeStatus.DROPPED), done.work)
    assert done.surveying.due()
    assert done.surveying.spec(done.work) is not None
    done.surveying.came(
        1, Outcome(OutcomeStatus.DAMAGED, reason="statistics.safetensors is not what it was"), done.work
    )
    assert not done.surveying.due()
    assert done.notices == [("warning", "version 1 could not be surveyed: statistics.safetensors is not what it was")]
    assert home.journal.surveys.all() == []


def test_a_damaged_manifest_or_report_is_told_and_stops_nothing(home: Home) -> None:
    home.learn("cats", "d1")
    (report,) = home.state.glob("tasks/cats/1/report.json")
    report.write_text(json.dumps({}))
    done = Survey(home)
    assert done.surveying.spec(done.work) is not None
    done.surveying.came(1, done.well(), done.work)
    assert REPORT_FILE in done.notices[0][1]
    for manifest in home.state.glob("generations/*/manifest.json"):
        manifest.write_text("{}")
    again = Survey(home)
    assert again.surveying.spec(again.work) is None
    assert MANIFEST_FILE in again.notices[0][1]
    assert not again.surveying.due()


def test_what_comes_back_after_the_head_has_moved_is_no_trouble(home: Home) -> None:
    home.learn("cats", "d1")
    done = Survey(home)
    assert done.surveying.spec(done.work) is not None
    home.generations.forget("cats")
    done.surveying.came(1, Outcome(OutcomeStatus.DAMAGED, reason="its files are gone"), done.work)
    assert done.notices == []
    assert done.surveying.due()


def test_of_thousands_of_tasks_nearly_the_same_few_are_asked_each_time() -> None:
    members = [Member(f"task-{number}", f"task {number}", 1, "", "", "") for number in range(1000)]
    before, after = sample(members[:-10], 50), sample(members, 50)
    assert len(after) == 50
    assert len(set(before) & set(after)) >= 45
    assert sample(members[::-1], 50) == after
    assert sample(members[:3], 50) == members[:3]


def test_it_can_be_switched_off(home: Home) -> None:
    home.learn("cats", "d1")
    assert not Survey(home, limit=0).surveying.due()
