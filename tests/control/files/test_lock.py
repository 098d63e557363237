"""One daemon a state."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnd.control.files.lock import LOCK_FILE, hold, holder_of
from learnd.errors import StateError

HOLD = """
import sys, time
from pathlib import Path
from learnd.control.files.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_daemon_is_told_who_holds_the_state(tmp_path: Path) -> None:
    with hold(tmp_path):
        with pytest.raises(StateError, match=f"process {os.getpid()}") as error, hold(tmp_path):
            pass
        assert error.value.exit_code == 3


def test_who_holds_a_state_can_be_asked_without_disturbing_it(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    with hold(tmp_path):
        holder = holder_of(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()
    assert holder_of(tmp_path) is None


def test_a_killed_daemon_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        holder = holder_of(tmp_path)
        assert holder is not None
        assert holder.pid == child.pid
        child.kill()
    with hold(tmp_path):
        pass


def test_a_daemon_that_starts_waits_out_who_only_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK_FILE).touch()
    asking = os.open(tmp_path / LOCK_FILE, os.O_RDONLY)  # as `learnd status` does, for microseconds
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr("learnd.control.files.lock.time.sleep", lambda _seconds: fcntl.flock(asking, fcntl.LOCK_UN))
    with hold(tmp_path):
        holder = holder_of(tmp_path)
    os.close(asking)
    assert holder is not None
    assert holder.pid == os.getpid()
