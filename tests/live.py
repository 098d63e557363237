"""The real daemon, as a process on real files: what the end-to-end tests and the benchmarks drive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from learnd.control.journal.journal import Journal
from learnd.control.journal.tasks import TaskRow
from learnd.errors import StateError
from learnd.messages.task import TaskState
from tests.patience import PATIENCE

JOURNAL = "journal.sqlite"


class LiveDaemon:
    """A home folder with tasks/ and state/, and the daemon on it.  Settings are dotted keys, as in config.yaml."""

    def __init__(self, home: Path, backbone: str = "conv4", **settings: str) -> None:
        self.home = home
        self.tasks = home / "tasks"
        self.state = home / "state"
        self.tasks.mkdir(parents=True, exist_ok=True)
        self.log = home / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LEARND_")},
            "LEARND_TASKS": str(self.tasks),
            "LEARND_STATE": str(self.state),
            "LEARND_PLUGINS_DIR": str(home / "plugins"),
            "LEARND_BACKBONE": backbone,
            "LEARND_WORKER__START_SECONDS": "3600",  # a busy machine is no fault of the worker's
            "LEARND_WORKER__JOB_SECONDS": "3600",
            **{f"LEARND_{key.upper()}": value for key, value in settings.items()},
        }

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "learnd", *map(str, arguments)]

    def run(self, *arguments: str | Path, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command on this home, with its output."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def json(self, *arguments: str | Path, timeout: float = PATIENCE) -> Any:
        """What a command prints with --json; it must exit with 0."""
        done = self.run(*arguments, "--json", timeout=timeout)
        if done.returncode:
            raise AssertionError(f"{arguments} exited with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def start(self) -> None:
        """Start the daemon; it goes on in the background."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command("run", "--no-dashboard"),
                env=self.environment,
                cwd=self.home,
                stdout=log,
                stderr=log,
            )

    def start_warm(self, timeout: float = PATIENCE) -> None:
        """Start the daemon and wait until every worker is ready."""
        self.start()
        self.wait("ready workers", self.warm, timeout)

    def warm(self) -> bool:
        journal = self.journal()
        if journal is None:
            return False
        with_workers = journal.workers()
        journal.close()
        return bool(with_workers) and all(worker.state == "ready" for worker in with_workers)

    def signal(self, number: signal.Signals, timeout: float = PATIENCE) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """kill -9, as the kernel does when memory runs out."""
        self.signal(signal.SIGKILL)

    def stop(self) -> int:
        return self.signal(signal.SIGTERM) if self.process is not None and self.process.poll() is None else 0

    def journal(self) -> Journal | None:
        """The journal as another process sees it; None before there is one.  Close it."""
        try:
            return Journal(self.state / JOURNAL)
        except StateError:  # the daemon has not made it yet; what else may be wrong with it, it will say itself
            return None

    def rows(self) -> list[TaskRow]:
        journal = self.journal()
        if journal is None:
            return []
        rows = journal.tasks.all()
        journal.close()
        return rows

    def wait(self, what: str, check: Callable[[], Any], timeout: float = PATIENCE, pause: float = 0.02) -> None:
        """Until check() is true; fails with the daemon's log when it does not come, or the daemon ends."""
        end = time.monotonic() + timeout
        while not check():
            ended = self.process is not None and self.process.poll() is not None
            if time.monotonic() > end or ended:
                why = "the daemon ended" if ended else f"nothing for {timeout:.0f} s"
                states = [(row.name, row.revision, str(row.state), row.reason) for row in self.rows()]
                log = self.log.read_text()[-4000:] if self.log.exists() else ""
                raise AssertionError(f"{what}: {why}; tasks {states}\n{log}")
            time.sleep(pause)

    def wait_state(self, name: str, state: TaskState, revision: int = 1, timeout: float = PATIENCE) -> TaskRow:
        """Until this revision of a task is in a state."""

        def found() -> list[TaskRow]:
            return [r for r in self.rows() if (r.name, r.revision, r.state) == (name, revision, state)]

        self.wait(f"{name} (revision {revision}) {state}", found, timeout)
        return found()[0]

    def wait_learned(self, names: Iterable[str], timeout: float = PATIENCE, pause: float = 0.1) -> None:
        wanted = set(names)

        def all_learned() -> bool:
            return wanted <= {row.name for row in self.rows() if row.state == TaskState.LEARNED}

        self.wait(f"{len(wanted)} tasks learned", all_learned, timeout, pause)

    def __enter__(self) -> LiveDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
