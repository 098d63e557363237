"""A child process that speaks JSON lines: how the control plane holds a worker (or the inspector) at arm's length.

A child is spawned, never forked; it has its own session, so that a Ctrl-C in the terminal is the daemon's to handle;
it ends when its stdin ends, so that it never outlives a killed daemon; and what it prints goes to its own log.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

GONE = "gone"  # the message that ends every child's conversation: {"gone": exit code}


_TAIL_BYTES = 4000


_LAST_WORDS = 2.0  # seconds to read what a killed one said; a stray that left its group may hold its pipe open for ever


Inbox = Callable[["Child", dict[str, Any]], None]


class Child:
    """One spawned process.  Its messages come through inbox(child, message), on a thread of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        inbox: Inbox,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._inbox = inbox
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            os.replace(log, log.with_suffix(".old.log"))
        with open(log, "wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._listen, name=f"{name}-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Say one line.  A child that is gone does not hear it; its `gone` message tells the rest."""
        assert self._process.stdin is not None  # it was opened with a pipe
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def kill(self) -> None:
        """End it now, with everything it started."""
        if self._reader.is_alive():  # something of its group still holds the pipe, if not the child itself
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(_LAST_WORDS)

    def log_tail(self) -> str:
        """The last lines it printed."""
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    def _listen(self) -> None:
        with self._process:  # closes the pipes and waits
            assert self._process.stdout is not None  # it was opened with a pipe
            for line in self._process.stdout:
                self._inbox(self, _parse(line))
        self._inbox(self, {GONE: self._process.returncode})


def _parse(line: bytes) -> dict[str, Any]:
    """A line as a message; whatever is no JSON object is noise, from a library that prints."""
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    return message if isinstance(message, dict) else {"noise": line.decode(errors="replace").strip()}


def explain_exit(code: int) -> str:
    """An exit code as a person says it."""
    if code >= 0:
        return f"ended with exit code {code}"
    number = -code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"was killed by {name}"
