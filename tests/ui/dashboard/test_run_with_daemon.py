"""`learnd run` on a real terminal: the dashboard and the daemon end together and in order, whatever ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from learnd.control.files.lock import hold, holder_of
from tests.ui.dashboard.tmux import PATIENCE, Tmux, tmux

__all__ = ["tmux"]  # a fixture

RUN = f"LEARND_BACKBONE=conv4 {sys.executable} -m learnd run"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def free(state: Path) -> None:
    """Wait until no daemon holds the state."""
    end = time.monotonic() + PATIENCE
    while holder_of(state) is not None:
        assert time.monotonic() < end, "the daemon outlived its dashboard"
        time.sleep(0.05)


def test_it_shows_the_dashboard_and_asks_before_it_stops_the_daemon(tmux: Tmux, home: Path) -> None:
    tmux.say(f"{RUN}; echo ended with $?")
    tmux.until("learnd ▸ running")
    assert holder_of(home / "state") is not None
    tmux.keys("q")
    tmux.until("Stop the daemon?")
    tmux.keys("n")
    tmux.until("nothing was changed")
    tmux.keys("q")
    tmux.until("Stop the daemon?")
    tmux.keys("y")
    tmux.until("ended with 0")
    tmux.sane(1)
    assert "stopping (SIGTERM)" in tmux.screen()
    free(home / "state")


def test_ctrl_c_ends_both_and_once_ends_without_a_key(tmux: Tmux, home: Path) -> None:
    tmux.say(f"{RUN}; echo ended with $?")
    tmux.until("learnd ▸ running")
    tmux.keys("C-c")
    tmux.until("ended with 0")
    tmux.sane(1)
    free(home / "state")
    tmux.say("clear")
    tmux.say(f"{RUN} --once; echo it ended with $?")
    tmux.until("it ended with 0")
    tmux.sane(2)


def test_a_daemon_that_cannot_start_prints_the_reason(tmux: Tmux, home: Path) -> None:
    (home / "state").mkdir()
    with hold(home / "state"):
        tmux.say(f"{RUN}; echo ended with $?")
        tmux.until("ended with 3")
    tmux.sane(1)
    assert "of its own (--state DIR)" in " ".join(tmux.screen().split())  # what to do about the lock


def test_killing_the_dashboard_stops_the_daemon(tmux: Tmux, home: Path) -> None:
    tmux.say(RUN)
    tmux.until("learnd ▸ running")
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=1) for line in listed.splitlines()]
    (pid,) = [pid for pid, command in lines if command == f"{sys.executable} -m learnd run" and _in(pid, home)]
    os.kill(int(pid), signal.SIGKILL)
    free(home / "state")  # nobody is left to restore the terminal: `reset` and `tput rmcup` do


def _in(pid: str, home: Path) -> bool:
    return Path(f"/proc/{pid}/cwd").resolve() == home.resolve()
