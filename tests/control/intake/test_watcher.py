"""The watcher reports everything that happens in the watched folder, and never goes deaf unnoticed."""

from __future__ import annotations

import ctypes
import errno
import os
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from learnd.control.intake import watcher
from learnd.control.intake.file_events import EventSource
from learnd.control.intake.watcher import FolderEvent, Watcher
from learnd.settings.keys import WatchSettings
from tests.broken import draw, good_task
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are about inotify")


class Heard:
    """What a watcher reported and said."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[FolderEvent] = queue.SimpleQueue()
        self.notices: list[tuple[str, str]] = []

    def notice(self, level: str, text: str) -> None:
        self.notices.append((level, text))

    def wait_for(self, wanted: FolderEvent) -> list[FolderEvent]:
        """Everything that was collected up to and with the wanted one."""
        collected: list[FolderEvent] = []
        while wanted not in collected:
            try:
                collected.append(self.events.get(timeout=PATIENCE))
            except queue.Empty:
                pytest.fail(f"{wanted} was never collected; heard {set(collected)}")
        return collected

    def hush(self) -> None:
        while not self.events.empty():
            self.events.get()


Watch = Callable[..., tuple[Watcher, Heard]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    return tmp_path / "tasks"


@pytest.fixture
def watch(root: Path) -> Iterator[Watch]:
    started: list[Watcher] = []

    def start(backend: str = "inotify") -> tuple[Watcher, Heard]:
        heard = Heard()
        one = Watcher(root, WatchSettings(backend=backend), heard.events.put, heard.notice)
        started.append(one)
        one.start()
        return one, heard

    yield start
    for one in started:
        one.stop()
    assert not [thread for thread in threading.enumerate() if type(thread).__module__.startswith("watchdog")]


def test_a_folder_that_is_moved_in_is_reported_as_one_rename(watch: Watch, root: Path, tmp_path: Path) -> None:
    _, heard = watch()
    good_task(tmp_path / "task").rename(root / "task")
    heard.wait_for(FolderEvent("task", renamed=True))


def test_a_folder_that_gets_its_final_name_is_reported_as_one_rename(watch: Watch, root: Path) -> None:
    _, heard = watch()
    folder = good_task(root / "task.part")
    (root / "end").mkdir()
    heard.wait_for(
        FolderEvent("end")
    )  # it watches the folder now: one that is renamed sooner may be reported as new, too
    heard.hush()
    folder.rename(root / "task")

    assert set(heard.wait_for(FolderEvent("task", renamed=True))) == {FolderEvent("task", renamed=True)}


def test_a_folder_that_is_copied_in_is_reported_and_is_no_rename(watch: Watch, root: Path, tmp_path: Path) -> None:
    good_task(tmp_path / "task")
    _, heard = watch()

    shutil.copytree(tmp_path / "task", root / "task")
    (root / "end").mkdir()

    assert set(heard.wait_for(FolderEvent("end"))) == {FolderEvent("task"), FolderEvent("end")}


@pytest.mark.parametrize(
    "change",
    [
        lambda task: draw(task / "circles" / "late.png", seed=1),
        lambda task: (task / "circles" / "0.png").write_bytes(b"other"),
        lambda task: (task / "circles" / "0.png").unlink(),
        lambda task: (task / "circles" / "0.png").rename(task / "squares" / "0b.png"),
        lambda task: (task / "circles" / "0.png").chmod(0o600),
        lambda task: (task / ".ready").touch(),
        lambda task: shutil.rmtree(task),
        lambda task: task.rename(task.parent.parent / "away"),
    ],
    ids=["added late", "written", "deleted", "moved", "chmod", "marker", "all deleted", "moved out"],
)
@pytest.mark.parametrize("arrival", ["was there", "moved in", "moved out and in"])
def test_a_change_deep_inside_is_reported(
    change: Callable[[Path], None], arrival: str, watch: Watch, root: Path, tmp_path: Path
) -> None:
    if arrival == "was there":
        good_task(root / "task")
    _, heard = watch()
    if arrival != "was there":
        good_task(tmp_path / "task").rename(root / "task")
        heard.wait_for(FolderEvent("task", renamed=True))
    if arrival == "moved out and in":
        (root / "task").rename(tmp_path / "task")
        (tmp_path / "task").rename(root / "task")
        heard.wait_for(FolderEvent("task", renamed=True))
    (root / "settled").mkdir()
    heard.wait_for(FolderEvent("settled"))

    change(root / "task")

    heard.wait_for(FolderEvent("task"))


def test_slow_writes_ring_all_along(watch: Watch, root: Path) -> None:
    _, heard = watch()
    (root / "task" / "circles").mkdir(parents=True)
    heard.wait_for(FolderEvent("task"))
    with (root / "task" / "circles" / "0.png").open("wb", buffering=0) as file:
        for _ in range(3):
            heard.hush()
            file.write(b"more")
            heard.wait_for(FolderEvent("task"))


def test_ignored_names_and_our_own_reading_do_not_ring(watch: Watch, root: Path) -> None:
    good_task(root / "task")
    _, heard = watch()

    (root / ".hidden").mkdir()
    (root / "task2.tmp").mkdir()
    for image in (root / "task").glob("*/*.png"):
        image.read_bytes()
    (root / "end").mkdir()

    assert set(heard.wait_for(FolderEvent("end"))) == {FolderEvent("end")}


def test_it_says_what_it_watches_with(watch: Watch) -> None:
    assert watch("inotify")[0].backend == "inotify"
    assert watch("inotify")[0].rescan_seconds == WatchSettings().rescan_seconds
    assert watch("polling")[0].backend == "polling"
    assert watch("polling")[0].rescan_seconds == WatchSettings().poll_seconds


def test_a_network_folder_is_polled_and_that_is_said(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "backend_for", lambda path: ("polling", "it lies on nfs4"))

    polling, heard = watch("auto")
    assert polling.backend == "polling"
    assert "nfs4" in heard.notices[0][1]

    forced, heard = watch("inotify")
    assert forced.backend == "inotify"
    assert heard.notices[0][0] == "warning"


def test_a_watched_folder_that_vanishes_and_comes_back_is_watched_again(watch: Watch, root: Path) -> None:
    one, heard = watch()
    root.rmdir()
    one.check()
    one.check()
    assert [level for level, _ in heard.notices] == ["error"]

    root.mkdir()
    one.check()
    heard.wait_for(FolderEvent(None))
    good_task(root / "task")
    heard.wait_for(FolderEvent("task"))
    assert [level for level, _ in heard.notices] == ["error", "warning"]


def test_a_watched_folder_that_was_replaced_is_watched_anew(watch: Watch, root: Path, tmp_path: Path) -> None:
    one, heard = watch()
    root.rename(tmp_path / "old")
    root.mkdir()

    one.check()
    good_task(root / "task")

    heard.wait_for(FolderEvent("task"))


def test_a_watched_folder_may_come_later(watch: Watch, root: Path) -> None:
    root.rmdir()
    one, heard = watch()
    assert heard.notices[0][0] == "error"

    root.mkdir()
    one.check()
    good_task(root / "task")

    heard.wait_for(FolderEvent("task"))


def test_a_dead_thread_is_replaced(watch: Watch, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, heard = watch()
    monkeypatch.setattr(EventSource, "alive", property(lambda self: False))
    one.check()
    monkeypatch.undo()

    heard.wait_for(FolderEvent(None))
    good_task(root / "task")
    heard.wait_for(FolderEvent("task"))
    assert "died" in heard.notices[0][1]


def test_an_error_in_a_callback_is_a_dead_thread(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: died.set())

    def fail(_: object) -> None:
        raise RuntimeError("no")

    events = EventSource(str(root), heard=fail, missed=lambda _: None)
    (root / "task").mkdir()
    assert died.wait(PATIENCE)
    for thread in threading.enumerate():
        if "Observer" in type(thread).__name__:
            thread.join(PATIENCE)
    assert not events.alive
    events.stop()


@pytest.mark.slow
def test_a_queue_that_overflowed_reports_everything(watch: Watch, root: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 20_000:
        pytest.skip(f"the kernel queues {most} events: too many to run over in a test")
    (root / "task").mkdir()
    one, heard = watch()
    assert one._events is not None
    ears = one._events._observer._ears  # type: ignore[attr-defined]

    with ears._lock:  # the reader stands still, as on a machine that is overloaded
        for number in range(most // 2 + 10):  # two by two, because the kernel merges equal events
            os.utime(root, ns=(number, number))
            os.utime(root / "task", ns=(number, number))

    heard.wait_for(FolderEvent(None))
    assert "ran over" in heard.notices[0][1]


@contextmanager
def inotify_exhausted() -> Iterator[None]:
    """Take every inotify instance that the kernel gives this user."""
    libc = ctypes.CDLL(None, use_errno=True)
    taken: list[int] = []
    try:
        while (descriptor := libc.inotify_init()) != -1:
            taken.append(descriptor)
        assert ctypes.get_errno() == errno.EMFILE
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)


def test_without_inotify_instances_it_polls_and_names_the_knob(watch: Watch) -> None:
    with inotify_exhausted():
        one, heard = watch()

    assert one.backend == "polling"
    assert one.rescan_seconds == WatchSettings().poll_seconds
    level, text = heard.notices[0]
    assert level == "warning"
    assert "fs.inotify.max_user_instances" in text


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_folder_that_can_no_longer_be_watched_makes_it_poll(
    when: str, watch: Watch, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """watchdog swallows this for a sub-directory; the kernel's answer is put in its mouth here."""
    from watchdog.observers.inotify_c import InotifyFD

    real = InotifyFD._get_or_create_watch

    def refuse(self: InotifyFD, path: bytes, mask: int) -> object:
        if path.endswith(b"task"):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return real(self, path, mask)  # type: ignore[arg-type]

    monkeypatch.setattr(InotifyFD, "_get_or_create_watch", refuse)
    if when == "at the start":
        (root / "task").mkdir()
    one, heard = watch()
    if when == "later":
        (root / "task").mkdir()
        heard.wait_for(FolderEvent(None))
        one.check()

    assert one.backend == "polling"
    assert "fs.inotify.max_user_watches" in heard.notices[-1][1]
    heard.wait_for(FolderEvent(None))
