"""The dashboard on a real terminal: every key, another size, and the terminal as it was, however it ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learnd.face.dashboard.terminal import keys_of

PATIENCE = 60.0  # seconds; nothing here waits that long unless it is broken


def test_keys_are_told_from_sequences_that_mean_nothing() -> None:
    typed = "q\x1b[A\x1b[B\t\x1b[Z\r\x7f鳥"
    assert list(keys_of(typed)) == ["q", "up", "down", "tab", "backtab", "enter", "backspace", "鳥"]
    assert list(keys_of("\x1b[1;5Cx\x1b[200~y")) == ["x", "y"]
    assert list(keys_of("\x1b")) == ["esc"]
    assert list(keys_of("\x1b[")) == ["esc", "["]


class Tmux:
    """A terminal of 100x30 with a shell in it, on a server of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._socket = str(folder / "tmux")
        environment = {**os.environ, "PS1": "ready$ ", "LANG": "C.UTF-8", "HISTFILE": "/dev/null"}
        size = ("-x", "100", "-y", "30", "-c", str(home))
        self._do("-f", "/dev/null", "new-session", "-d", *size, "sh", env=environment)
        self.until("$ ", "#")

    def _do(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-u", "-S", self._socket, *arguments]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout

    def keys(self, *keys: str) -> None:
        self._do("send-keys", *keys)

    def say(self, text: str) -> None:
        self._do("send-keys", "-l", text)
        self.keys("Enter")

    def resize(self, width: int, height: int) -> None:
        self._do("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> str:
        return self._do("capture-pane", "-p")

    def facts(self) -> str:
        """Whether the other screen is on, and the cursor shown."""
        return self._do("display-message", "-p", "#{alternate_on} #{cursor_flag}").strip()

    def until(self, *wanted: str) -> str:
        end = time.monotonic() + PATIENCE
        while not any(one in (shown := self.screen()) for one in wanted):
            assert time.monotonic() < end, f"waited for {wanted}, saw:\n{shown}"
            time.sleep(0.05)
        return shown

    def sane(self, number: int) -> None:
        """The shell is back, on its own screen, with a cursor, an echo and lines that end at Enter."""
        end = time.monotonic() + PATIENCE
        while self.facts() != "0 1":
            assert time.monotonic() < end, self.screen()
            time.sleep(0.05)
        self.say(f"stty -a | grep -cE '[^-]icanon|[^-]echo ' | sed 's/^/sane {number} /'")
        self.until(f"sane {number} 1", f"sane {number} 2")

    def close(self) -> None:
        self._do("kill-server")


@pytest.fixture
def tmux(tmp_path: Path, home: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux here: the dashboard was not tried on a real terminal")
    terminal = Tmux(tmp_path, home)
    yield terminal
    terminal.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_key_does_its_work_and_the_terminal_is_sane_afterwards(tmux: Tmux, state: Path) -> None:
    top = f"{sys.executable} -m learnd top"
    tmux.say(top)
    tmux.until("birds")
    tmux.keys("?")
    tmux.until("all about the selected task")
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
    tmux.until("what happened, the newest first")
    tmux.keys("q")
    tmux.keys("s")
    tmux.until("wrote ")
    assert list(state.parent.glob("learnd-*.svg"))
    tmux.say("/grow")
    tmux.until("only names with 'grow'")
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
    tmux.until("readonly")
    tmux.keys("p")
    tmux.until("nothing can be changed here")
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    (pid,) = [line.split()[0] for line in listed.splitlines() if f"{sys.executable} -m learnd top --readonly" in line]
    os.kill(int(pid), 15)
    tmux.sane(4)
