"""The conformance kit, from outside: a process makes the checks, and one that crashes or hangs has failed its check."""

from __future__ import annotations

import json
import queue
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnd.control.processes.child import GONE, Child, explain_exit
from learnd.messages.convert import from_json
from learnd.messages.plugins import CheckOutcome, CheckResult, PluginInfo, PluginState
from learnd.settings.keys import Settings

START_SECONDS = 120.0  # to import torch and every plugin
THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # the tasks are tiny


@dataclass(frozen=True)
class KitReady:
    """What the kit found: the plugins of the target, the checks to make (key, promise), and every known name."""

    plugins: tuple[PluginInfo, ...]
    checks: tuple[tuple[str, str], ...] = ()
    known: tuple[str, ...] = ()


class KitEnded(Exception):
    """The process crashed, or took too long; says which."""


class Kit:
    """The process that checks one target: a plugin's file or an algorithm's name.  It is started when it is needed."""

    def __init__(self, target: str, settings: Settings, seconds: float, folder: Path) -> None:
        self._command = [sys.executable, "-m", "learnd.learning.conformance", "--plugins", str(settings.plugins_dir)]
        self._command += ["--options", json.dumps(settings.plugins), target]
        self._target = target
        self._seconds = seconds
        self._log = folder / "kit.log"
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._child: Child | None = None

    def hello(self) -> KitReady:
        """What there is to check.  A file that ends the process when it is imported is a quarantined plugin."""
        try:
            return self._start()
        except KitEnded as end:
            name = Path(self._target).stem
            reason = f"to import it {end}"
            return KitReady((PluginInfo(name, self._target, PluginState.QUARANTINED, reason),))

    def verdicts(self, checks: Sequence[tuple[str, str]]) -> Iterator[CheckResult]:
        """Make the checks, one after another.  After a crash or a hang a new process goes on with the next."""
        for key, promise in checks:
            begun = time.monotonic()
            try:
                if self._child is None:
                    self._start()
                yield self._verdict(key)
            except KitEnded as end:
                algorithm, _, check = key.partition(" ")
                took = round(time.monotonic() - begun, 3)
                remedy = "plugins answer, or raise an error: none may end or stop the process it runs in"
                yield CheckResult(algorithm, check, promise, CheckOutcome.FAILED, f"the check {end}", remedy, took)

    def close(self) -> None:
        """End the process, if it runs."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _start(self) -> KitReady:
        self._inbox = queue.SimpleQueue()
        inbox = self._inbox
        self._child = Child("conformance", self._command, self._log, lambda _, message: inbox.put(message), THREADS)
        return from_json(KitReady, self._hear("hello", START_SECONDS))

    def _verdict(self, key: str) -> CheckResult:
        assert self._child is not None  # it was started before the first check
        self._child.send({"run": key})
        return from_json(CheckResult, self._hear("done", self._seconds))

    def _hear(self, wanted: str, seconds: float) -> Any:
        """What it says under this key.  Raises Ended, and the process is gone, where it says nothing in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                message = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.close()
                raise KitEnded(f"took more than {seconds:g} s") from None
            if wanted in message:
                return message[wanted]
            if GONE in message:
                log = self._child.log_tail() if self._child else ""
                self.close()
                said = f": {log.splitlines()[-1]}" if log else ""
                raise KitEnded(f"ended the process, which {explain_exit(message[GONE])}{said}")


@contextmanager
def conformance(target: str, settings: Settings, seconds: float) -> Iterator[Kit]:
    """A kit for one target; seconds: how long a check may take."""
    with tempfile.TemporaryDirectory(prefix="learnd-", ignore_cleanup_errors=True) as folder:
        kit = Kit(target, settings, seconds, Path(folder))
        try:
            yield kit
        finally:
            kit.close()
