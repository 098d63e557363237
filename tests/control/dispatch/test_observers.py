"""Observers hear every event once, in order; and whatever becomes of them, nobody else is held up.

The process here is a light one: a script without torch that does with an event what its kind says.
"""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learnd.control.dispatch.observers import EVENT_SECONDS, Observers
from learnd.control.dispatch.plugin_strikes import AT_EVENT, Strikes
from learnd.control.journal.journal import Journal
from learnd.control.processes.child import Child, Inbox
from learnd.messages.plugins import PluginInfo
from learnd.settings.keys import Settings
from learnd.settings.loading import load
from tests.control.dispatch.test_dispatcher import Clock

PROCESS = """
import json, os, sys
plugin = {"name": "mail", "source": "/plugins/mail.py"}

def say(message):
    print(json.dumps(message), flush=True)

if sys.argv[1] == "crash":
    os._exit(9)
if sys.argv[1] == "evil import":
    say({"importing": plugin})
    os._exit(9)
say({"importing": None})
say({"hello": {"observers": [] if sys.argv[1] == "nobody" else ["mail"]}})
for line in sys.stdin:
    kind = json.loads(line)["event"]["kind"]
    say({"calling": plugin})
    if kind == "die":
        os._exit(7)
    if kind == "hang":
        continue
    if kind == "raise":
        say({"raised": {**plugin, "reason": "ValueError: \\udcff"}})
    say({"heard": json.loads(line)["event"]})
    say({"delivered": True})
"""


class Stand:
    """Observers turned by hand as the service turns them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = load(None, {"state": str(folder / "state")}, {})
        self.settings.state.mkdir()
        self.journal = Journal(self.settings.state / "journal.sqlite", create=True)
        self.journal.note("queued", "long ago")
        self.inbox: queue.SimpleQueue[tuple[Child, dict[str, Any]]] = queue.SimpleQueue()
        self.notices: list[str] = []
        self.told: list[str] = []
        self.starts: list[tuple[str, ...]] = []  # the plugins barred at each
        self.ways: list[str] = []  # of the next processes
        self.clock = Clock()
        monkeypatch.setattr("learnd.control.dispatch.observers.time", self.clock)
        monkeypatch.setattr("learnd.control.dispatch.observers.start_observer", self._start)
        self.observers = Observers(
            self.settings,
            self.journal,
            lambda child, message: self.inbox.put((child, message)),
            lambda level, text: self.notices.append(text),
        )

    def _start(self, settings: Settings, inbox: Inbox, barred: tuple[PluginInfo, ...]) -> Child:
        self.starts.append(tuple(plugin.name for plugin in barred))
        way = self.ways.pop(0) if self.ways else "nobody" if barred else "well"
        command = [sys.executable, "-I", "-S", "-c", PROCESS, way]
        return Child("observers", command, settings.state / "logs" / "observers.log", inbox)

    def until(self, wanted: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not wanted():
            assert time.monotonic() < end, (self.told, self.notices)
            pause = self.observers.tick()
            try:
                child, message = self.inbox.get(timeout=min(pause, 0.2))
            except queue.Empty:
                continue
            if "heard" in message:
                self.told.append(message["heard"]["message"])
            if self.observers.owns(child):
                self.observers.hear(message)

    def settle(self) -> None:
        self.until(lambda: self.observers.settled)


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    stand = Stand(tmp_path, monkeypatch)
    yield stand
    stand.observers.stop()
    stand.journal.close()


def test_without_an_observer_there_is_no_process(stand: Stand) -> None:
    stand.observers.use((), "as it is")
    stand.journal.note("queued", "one")
    stand.observers.tick()
    assert stand.observers.settled
    assert stand.starts == []


def test_every_event_since_the_start_is_told_once_and_in_order(stand: Stand) -> None:
    stand.journal.note("queued", "one")
    stand.observers.use(("mail",), "as it is")
    assert not stand.observers.settled
    stand.settle()
    for word in ("two", "three"):
        stand.journal.note("learned", word)
    stand.settle()
    assert stand.told == ["one", "two", "three"]


def test_one_that_raises_is_blamed_once_and_called_again(stand: Stand) -> None:
    stand.observers.use(("mail",), "as it is")
    for number in range(3):
        stand.journal.note("raise", str(number))
    stand.settle()
    assert stand.told == ["0", "1", "2"]
    assert stand.notices == ["plugin mail (/plugins/mail.py): its learnd_event raised ValueError: \\udcff"]
    assert Strikes(stand.journal).all() == []


def test_one_that_ends_the_process_is_named_and_called_no_more(stand: Stand) -> None:
    stand.observers.use(("mail",), "as it is")
    stand.journal.note("die", "one")
    stand.journal.note("queued", "two")
    stand.settle()

    reason = "killed the observers while being called with an event: the process ended with exit code 7"
    assert stand.notices == [f"plugin mail (/plugins/mail.py) {reason}"]
    (strike,) = Strikes(stand.journal).all()
    assert (strike.name, strike.role, strike.reason) == ("mail", AT_EVENT, reason)
    assert stand.starts == [(), ("mail",)]
    assert stand.told == []


def test_one_that_hangs_is_ended_after_a_while(stand: Stand) -> None:
    stand.observers.use(("mail",), "as it is")
    stand.settle()
    stand.journal.note("hang", "one")
    stand.observers.tick()
    stand.until(lambda: stand.observers._at is not None)
    stand.clock.ahead += EVENT_SECONDS + 1
    stand.settle()
    assert "called with an event: the process was killed by SIGKILL" in stand.notices[0]
    assert stand.starts == [(), ("mail",)]


def test_one_that_ends_the_process_at_its_import_is_named_too(stand: Stand) -> None:
    stand.ways = ["evil import"]
    stand.observers.use(("mail",), "as it is")
    stand.until(lambda: len(stand.starts) == 2)
    assert "killed the observers while being imported" in stand.notices[0]
    assert stand.starts == [(), ("mail",)]


def test_a_process_that_never_starts_is_given_up(stand: Stand) -> None:
    stand.ways = ["crash"] * 5
    stand.observers.use(("mail",), "as it is")
    for _ in range(2):
        stand.until(lambda: stand.observers._child is None and bool(stand.notices))
        stand.clock.ahead += 10
        stand.observers.tick()
    stand.settle()
    assert len(stand.starts) == 3
    assert stand.notices[-1].endswith("they hear nothing until a plugin changes or the daemon starts again")
    stand.observers.use(("mail",), "as it is")
    assert stand.observers.settled


# --- plugins that come and go while it runs ---------------------------------------------------------------------------


def test_another_state_of_the_folder_is_another_process_and_nothing_is_told_twice(stand: Stand) -> None:
    stand.observers.use(("mail",), "as it is")
    stand.journal.note("queued", "one")
    stand.settle()
    stand.observers.use(("mail",), "changed")
    stand.journal.note("queued", "two")
    stand.settle()
    assert (stand.told, len(stand.starts)) == (["one", "two"], 2)
    assert (stand.notices, Strikes(stand.journal).all()) == ([], [])


def test_when_the_last_observer_goes_so_does_the_process(stand: Stand) -> None:
    stand.observers.use(("mail",), "as it is")
    stand.settle()
    stand.observers.use((), "changed")
    stand.observers.tick()
    assert (stand.observers._child, stand.observers.settled) == (None, True)


def test_an_observer_that_was_given_up_is_tried_again_when_it_changes(stand: Stand) -> None:
    stand.ways = ["crash"] * 3
    stand.observers.use(("mail",), "as it is")
    for _ in range(3):
        stand.until(lambda: stand.observers._child is None and bool(stand.notices))
        stand.clock.ahead += 10
        stand.observers.tick()
    stand.settle()
    stand.journal.note("queued", "one")
    stand.observers.use(("mail",), "mended")
    stand.settle()
    assert stand.told == ["one"]


def test_one_that_hangs_is_ended_even_where_its_file_is_gone(stand: Stand) -> None:
    stand.observers.use(("mail",), "as it is")
    stand.settle()
    stand.journal.note("hang", "one")
    stand.observers.tick()
    stand.until(lambda: stand.observers._at is not None)
    stand.observers.use((), "gone")
    stand.observers.tick()
    assert stand.observers._child is not None  # it may still tell its event
    stand.clock.ahead += EVENT_SECONDS + 1
    stand.until(lambda: stand.observers._child is None)
