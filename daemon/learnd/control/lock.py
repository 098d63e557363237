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

from learnd.errors import StateError

LOCK_FILE = "daemon.lock"


@dataclass(frozen=True)
class Holder:
    """The daemon that holds a state.  since: Unix seconds."""

    pid: int
    host: str
    since: float


@contextlib.contextmanager
def hold(state: Path) -> Iterator[None]:
    """Hold the state, or raise StateError that says who does."""
    descriptor = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(state) from None
        holder = Holder(os.getpid(), os.uname().nodename, time.time())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder_of(state: Path) -> Holder | None:
    """The daemon that holds the state now, or None.  Never disturbs a daemon that is starting."""
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


def _held(state: Path) -> StateError:
    holder = _read(state)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
    return StateError(
        f"another daemon holds this state: process {holder.pid} on {holder.host}, since {since}",
        where=str(state),
        remedy="stop it first, or give this one a state of its own (--state DIR)",
    )
