"""A real terminal: a test types into it and reads its screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE


class Tmux:
    """A terminal of 100x30 with a shell in it, on a separate tmux server."""

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
        """Whether the alternate screen is on and the cursor is shown."""
        return self._do("display-message", "-p", "#{alternate_on} #{cursor_flag}").strip()

    def until(self, *wanted: str) -> str:
        end = time.monotonic() + PATIENCE
        while not any(one in (shown := self.screen()) for one in wanted):
            assert time.monotonic() < end, f"waited for {wanted}, saw:\n{shown}"
            time.sleep(0.05)
        return shown

    def sane(self, number: int) -> None:
        """Check that the shell is back: the normal screen, a cursor, echo and line editing."""
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
