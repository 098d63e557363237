"""One daemon a state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnd.control.lock import hold, holder_of
from learnd.errors import StateError

HOLD = """
import sys, time
from pathlib import Path
from learnd.control.lock import hold
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
