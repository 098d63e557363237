"""How quick the dashboard is, and what it costs the daemon.

    python -m benchmarks.dashboard [--frames 50] [--seconds 30]

A frame is everything between a commit and the characters for the terminal: reading what is new, and drawing 160x45.
CPU time is what it costs; the time on the clock is longer where others use the machine.  Medians.  Exits with 1 where a
figure falls short.
"""

from __future__ import annotations

import argparse
import os
import pty
import signal
import statistics
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Figure, at_most, conclude
from benchmarks.speed import cpu_seconds
from learnd.control.files.lock import Holder
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.messages.task import TaskState
from learnd.ui.dashboard.journal_reader import JournalReader
from learnd.ui.dashboard.keys import DashboardView
from learnd.ui.dashboard.layout import lay_out
from learnd.ui.dashboard.panels import build_content
from learnd.ui.dashboard.symbols import SymbolSet
from learnd.ui.dashboard.terminal import ansi
from tests.live import LiveDaemon

SIZE = (160, 45)
STATES = (*("learned",) * 17, "waiting", "failed", "rejected")


def fill(journal: Journal, number: int) -> None:
    """One more task, as a job leaves it; of twenty, seventeen are learnt."""
    db, name, state = journal.db, f"task {number}", STATES[number % len(STATES)]
    key = f"task-{number}-0123abcd"
    db.run(
        "INSERT INTO tasks (id, revision, name, state, reason, fingerprint, digest, ways, images, algorithm, "
        "accuracy, ci_low, ci_high, seconds, version, updated) "
        "VALUES (?, 1, ?, ?, '', ?, ?, 5, 25, 'ridge', 0.9, 0.8, 0.95, 0.4, "
        "?, ?)",
        *(key, name, state, "f" * 64, "d" * 64, journal.head + 1, time.time()),
    )
    if state == "learned":
        version = journal.head + 1
        db.run("INSERT INTO generations VALUES (?, ?, ?, ?, '', ?)", version, version, version - 1, 0.0, "learned")
        db.run("INSERT INTO members VALUES (?, 1, ?, 5, 100000, ?, NULL)", key, name, version)
        db.put("head", str(version))
    db.note(TaskState(state), "ridge, version 1, 0.41 s", name)


def frame_figures(room: Path, tasks: int, frames: int) -> list[Figure]:
    room.mkdir()
    journal = Journal(room / JOURNAL, create=True)
    with journal.db.transaction():
        for number in range(tasks):
            fill(journal, number)
    console = Console(force_terminal=True, color_system="truecolor")
    seconds, on_the_clock = [], []
    watching = Journal(room / JOURNAL, readonly=True)
    reader = JournalReader(watching)
    for number in range(frames + 1):
        with journal.db.transaction():
            fill(journal, tasks + number)
        started, used = time.perf_counter(), time.process_time()
        now = build_content(reader.read(), Holder(1, "host", 0.0), (), "tasks", time.time())
        for line in lay_out(now, DashboardView(), SIZE, SymbolSet()):
            ansi(line, console)
        seconds.append(time.process_time() - used)
        on_the_clock.append(time.perf_counter() - started)
    watching.close()
    journal.close()
    name = f"frame with {tasks:,} tasks, CPU: median of {frames}"
    return [
        Figure(f"attaching with {tasks:,} tasks, CPU", f"{seconds[0] * 1000:.1f} ms"),
        Figure("a frame then, on the clock", f"{statistics.median(on_the_clock[1:]) * 1000:.1f} ms"),
        at_most(name, statistics.median(seconds[1:]) * 1000, 20, "ms", 1),
    ]


def daemon_figures(room: Path, seconds: float) -> list[Figure]:
    """Of an idle daemon, in turns without and with a dashboard on a terminal."""
    shares: dict[bool, list[float]] = {False: [], True: []}
    with LiveDaemon(room / "home", "conv4") as daemon:
        daemon.start_warm()
        assert daemon.process is not None
        for attached in (False, True, False, True):
            watcher = Attached(daemon) if attached else None
            before = cpu_seconds(daemon.process.pid)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.2)
                if watcher is not None:
                    watcher.read()
            shares[attached].append((cpu_seconds(daemon.process.pid) - before) / seconds * 100)
            if watcher is not None:
                watcher.close()
        daemon.stop()
    without, attached_share = statistics.mean(shares[False]), statistics.mean(shares[True])
    return [
        Figure(f"idle daemon, of one core over {2 * seconds:.0f} s, without", f"{without:.2f} %"),
        Figure("with a dashboard attached", f"{attached_share:.2f} %"),
        at_most("difference", attached_share - without, 1, "%", 2),
    ]


class Attached:
    """`learnd top` on a terminal of its own."""

    def __init__(self, daemon: LiveDaemon) -> None:
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        termios.tcsetwinsize(theirs, (SIZE[1], SIZE[0]))
        environment = {**daemon.environment, "TERM": "xterm-256color"}
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *daemon.command("top")],
            env=environment,
            cwd=daemon.home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        drawn = b""
        end = time.monotonic() + 60
        while b"watching" not in drawn:
            assert time.monotonic() < end, drawn
            time.sleep(0.1)
            drawn += self.read()

    def read(self) -> bytes:
        try:
            return os.read(self._ours, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        os.close(self._ours)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="learnd-dashboard-") as name:
        for tasks in (10, 1000, 10_000):
            figures += frame_figures(Path(name) / str(tasks), tasks, options.frames)
        figures += daemon_figures(Path(name), options.seconds)
    return conclude(figures)


if __name__ == "__main__":
    raise SystemExit(main())
