"""The dashboard on a real terminal: every key, other sizes, and the terminal is restored whatever ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnd.ui.dashboard.terminal import keys_of
from tests.ui.dashboard.tmux import Tmux, tmux

__all__ = ["tmux"]  # a fixture


def test_keys_are_recognised_and_unknown_sequences_skipped() -> None:
    typed = "q\x1b[A\x1b[B\t\x1b[Z\r\x7f鳥"
    assert list(keys_of(typed)) == ["q", "up", "down", "tab", "backtab", "enter", "backspace", "鳥"]
    assert list(keys_of("\x1b[1;5Cx\x1b[200~y")) == ["x", "y"]
    assert list(keys_of("\x1b")) == ["esc"]
    assert list(keys_of("\x1b[")) == ["esc", "["]


@pytest.mark.slow
def test_every_key_works_and_the_terminal_is_restored(tmux: Tmux, state: Path) -> None:
    top = f"{sys.executable} -m learnd top"
    tmux.say(top)
    tmux.until("birds")
    tmux.keys("?")
    tmux.until("show the details of the selected task")
    tmux.keys("q")
    tmux.keys("Tab")  # from the results to the problems
    tmux.until("▸ problems")
    tmux.keys("Down", "Down", "Enter")
    tmux.until("▸ bugs", "▸ bad")
    tmux.keys("Escape")
    tmux.until("▸ problems")
    tmux.keys("r")
    tmux.until("y: yes, any other key: no")
    tmux.keys("n")
    tmux.until("nothing was changed")
    tmux.keys("p")
    tmux.until("Pause?")
    tmux.keys("y")
    tmux.until("paused")
    tmux.keys("l")
    tmux.until("events, newest first")
    tmux.keys("q")
    tmux.keys("s")
    tmux.until("wrote ")
    assert list(state.parent.glob("learnd-*.svg"))
    tmux.say("/grow")
    tmux.until("filter 'grow'")
    tmux.keys("Escape")
    tmux.resize(60, 20)
    tmux.until("▸ problems 3")
    tmux.resize(39, 9)
    tmux.until("✗1 failed", "1 waiting")
    tmux.resize(100, 30)
    tmux.until("▸ problems")
    tmux.keys("C-z")
    tmux.sane(1)
    tmux.say("fg")
    tmux.until("▸ problems")
    tmux.keys("q")
    tmux.sane(2)
    tmux.say(f"{top} & fg")
    tmux.until("▸ results")
    tmux.keys("C-c")
    tmux.sane(3)
    tmux.say(f"{top} --readonly")
    tmux.until("read-only")
    tmux.keys("p")
    tmux.until("this dashboard changes nothing")
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    (pid,) = [line.split()[0] for line in listed.splitlines() if f"{sys.executable} -m learnd top --readonly" in line]
    os.kill(int(pid), 15)
    tmux.sane(4)
