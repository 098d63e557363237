"""Back to an earlier version, and never having learnt: by the daemon or without one, and killed at any moment."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from learnd.control.files.lock import hold
from learnd.control.journal.tasks import Content
from learnd.control.knowledge import change_requests
from learnd.control.knowledge.change_requests import Undoing, ask
from learnd.errors import StateError, StateUnavailable, TaskError
from learnd.messages.task import TaskState
from learnd.settings.keys import Settings
from learnd.settings.loading import load
from tests.control.home import Home
from tests.patience import PATIENCE


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Three versions: cats, dogs, cats anew."""
    (tmp_path / "state").mkdir()
    home = Home(tmp_path / "state")
    home.learn("cats", "d1")
    home.learn("dogs", "d2")
    home.learn("cats", "d3")
    return home


@pytest.fixture
def settings(home: Home) -> Settings:
    return load(None, {"state": str(home.state), "tasks": str(home.state.parent / "tasks")}, {})


def undo(home: Home) -> Undoing:
    return Undoing(home.journal, home.generations)


# --- what is done -----------------------------------------------------------------------------------------------------


def test_a_rollback_says_what_left_what_came_back_and_what_is_forgotten(home: Home) -> None:
    done = undo(home).do("rollback", "1")
    assert (done.version, done.undone, done.restored, done.without) == (4, ("cats", "dogs"), ("cats",), ())
    undo(home).do("forget", "dogs")
    done = undo(home).do("rollback", "3")
    assert (done.version, done.undone, done.restored, done.without) == (5, ("cats",), ("cats",), ("dogs",))


def test_to_do_it_again_changes_nothing_more(home: Home) -> None:
    assert undo(home).do("rollback", "1").version == undo(home).do("rollback", "1").version == 4
    assert undo(home).do("forget", "cats").version == undo(home).do("forget", "cats").version == 5


def test_the_folders_of_the_same_content_are_named_and_left_alone(home: Home) -> None:
    same = "the same content as dogs"
    home.journal.tasks.decline("copy", "copy", TaskState.DUPLICATE, same, Content("f", "d2"))
    assert undo(home).do("forget", "dogs").duplicates == ("copy",)
    (row,) = home.journal.tasks.revisions("copy")
    assert (row.state, row.fingerprint) == (TaskState.DUPLICATE, "f")
    assert "which is forgotten; `learnd retry` learns it" in row.reason


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
def test_a_forgotten_task_was_never_learnt_in_whatever_order_they_came(order: tuple[str, ...], tmp_path: Path) -> None:
    homes = [Home(tmp_path / name) for name in ("all", "some") if not (tmp_path / name).mkdir()]
    for name in order:
        homes[0].learn(name, f"digest of {name}")
    for name in "ac":
        homes[1].learn(name, f"digest of {name}")
    undo(homes[0]).do("forget", "b")

    assert homes[0].knowledge() == homes[1].knowledge()
    assert homes[0].files() == homes[1].files()
    assert homes[0].journal.members() == homes[1].journal.members()
    assert homes[0].generations.verify() == homes[1].generations.verify() == 8


# --- by whom ----------------------------------------------------------------------------------------------------------


def test_without_a_daemon_the_command_does_it(home: Home, settings: Settings) -> None:
    assert ask(settings, "rollback", "2").version == 4
    assert home.states() == {"cats/1": "learned", "cats/2": "forgotten", "dogs/1": "learned"}


def test_a_daemon_that_runs_does_it_and_its_answer_is_the_command_s(home: Home, settings: Settings) -> None:
    answers: list[change_requests.Undone] = []
    with hold(home.state):
        command = threading.Thread(target=lambda: answers.append(ask(settings, "rollback", "1")))
        command.start()
        _until(lambda: home.journal.requests.pending())
        undo(home).serve(lambda *_: None)
        command.join()
    assert answers[0].version == home.journal.head == 4
    assert home.journal.db.all("SELECT * FROM requests") == []


@pytest.mark.parametrize(("kind", "argument"), [("rollback", "9"), ("forget", "birds")])
def test_what_cannot_be_is_said_in_the_same_words_by_both(
    kind: str, argument: str, home: Home, settings: Settings
) -> None:
    said: list[TaskError] = []

    def command() -> None:
        with pytest.raises(TaskError) as error:
            ask(settings, kind, argument)
        said.append(error.value)

    command()
    with hold(home.state):
        asking = threading.Thread(target=command)
        asking.start()
        _until(lambda: home.journal.requests.pending())
        undo(home).serve(lambda *_: None)
        asking.join()
    alone, told = said
    assert str(alone) == str(told)
    assert home.journal.head == 3


def test_damage_stays_damage_by_whoever_it_is_found(home: Home, settings: Settings) -> None:
    (home.generations.tasks / "cats/1/adapted.safetensors").write_bytes(b"rotten")
    notices: list[tuple[str, str]] = []
    number = home.journal.requests.add("rollback", "1")
    undo(home).serve(lambda *said: notices.append(said))
    answer = home.journal.requests.answer_to(number)
    assert answer is not None
    with pytest.raises(StateError, match=r"adapted\.safetensors: is not what was committed") as error:
        change_requests._read(answer)
    assert error.value.exit_code == 3
    assert [level for level, _ in notices] == ["warning"]


def test_a_request_of_a_daemon_that_dies_is_done_by_the_command(home: Home, settings: Settings) -> None:
    answers: list[change_requests.Undone] = []
    command = threading.Thread(target=lambda: answers.append(ask(settings, "forget", "cats")))
    with hold(home.state):
        command.start()
        _until(lambda: home.journal.requests.pending())
    command.join()
    assert answers[0].undone == ("cats",)
    assert home.journal.requests.pending() == []


def test_a_daemon_that_does_not_listen_is_waited_for_only_so_long(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_requests, "ANSWER_SECONDS", 0.0)
    with hold(home.state), pytest.raises(StateUnavailable, match="has not taken it up"):
        ask(settings, "forget", "cats")
    assert home.journal.requests.pending() == []  # so it does not come later, when nobody thinks of it
    assert home.journal.head == 3


def _until(true: Callable[[], object]) -> None:
    waited = threading.Event()
    while not true():
        waited.wait(0.01)


# --- and if it is killed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "argument"), [("rollback", "1"), ("forget", "cats")])
@pytest.mark.slow
def test_killed_at_any_moment_it_is_done_or_not_and_can_be_done_again(
    kind: str, argument: str, home: Home, tmp_path: Path
) -> None:
    home.journal.close()
    copies = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.control.killed", str(home.state), str(copies), kind, argument]
    subprocess.run(command, check=True, timeout=PATIENCE)

    *killed, whole = [Home(copies / str(n)) for n in range(1, len(list(copies.iterdir())) + 1)]
    before, after = Home(home.state), _seen(whole)
    outcomes = []
    for left in killed:  # Home has swept, as the next start does
        assert _seen(left) in (_seen(before), after)
        outcomes.append(_seen(left) == after)
        left.generations.verify()
        undo(left).do(kind, argument)
        assert _seen(left) == after
        left.journal.close()
    assert set(outcomes) == {False, True}
    assert outcomes == sorted(outcomes)  # from the transaction on, it is done
    assert len(killed) > 20


def _seen(home: Home) -> tuple[object, ...]:
    versions = [(version.number, version.reason) for version in home.journal.history.versions()]
    return home.knowledge(), home.files(), home.states(), versions, home.journal.members()
