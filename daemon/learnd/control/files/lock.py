"""One daemon a state: an flock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from learnd.errors import StateError, StateUnavailable

LOCK_FILE = "daemon.lock"
_GLANCES = 100  # tries, so many seconds apart: whoever only asks who holds the state, holds it for a moment
_GLANCE = 0.01


@dataclass(frozen=True)
class Holder:
    """The daemon that holds a state.  since: Unix seconds."""

    pid: int
    host: str
    since: float


class StateHeld(StateError):
    """Another process holds the state."""


@contextlib.contextmanager
def hold(state: Path) -> Iterator[None]:
    """Hold the state, or raise StateHeld that says who does."""
    descriptor = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _locked(descriptor):
            raise _held(state)
        holder = Holder(os.getpid(), os.uname().nodename, time.time())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Take the lock; False if it is held for longer than a question takes."""
    for _ in range(_GLANCES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_GLANCE)
    return False


def holder_of(state: Path) -> Holder | None:
    """The daemon that holds the state now, or None.  Holds it for microseconds, which a starting daemon waits out."""
    try:
        descriptor = os.open(state / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(state)
    finally:
        os.close(descriptor)
    return None


def _read(state: Path) -> Holder:
    try:
        return Holder(**json.loads((state / LOCK_FILE).read_text()))
    except (ValueError, TypeError):
        return Holder(0, "unknown", 0.0)  # its daemon is between taking the lock and writing its name


def _held(state: Path) -> StateHeld:
    holder = _read(state)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
    return StateHeld(
        f"another daemon holds this state: process {holder.pid} on {holder.host}, since {since}",
        where=str(state),
        remedy="stop it first, or give this one a state of its own (--state DIR)",
    )


def require_daemon(state: Path) -> None:
    """Raises StateUnavailable if no daemon runs on this state."""
    if holder_of(state) is None:
        raise StateUnavailable("no daemon runs on this state", where=str(state), remedy="learnd run starts one")
