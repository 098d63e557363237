"""The terminal: it reads keys and paints lines, and it restores the terminal however the dashboard ends.

It writes only lines that have changed, each at its own position: a name that the terminal draws too wide disturbs no
other line.
"""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO

from rich.console import Console
from rich.text import Text

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # alternate screen, no cursor, cleared
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
_NAMED = {"\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x1b": "esc"}
_SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "OA": "up",
    "OB": "down",
    "[Z": "backtab",
    "[5~": "pgup",
    "[6~": "pgdn",
    "[H": "home",
    "[F": "end",
    "OH": "home",
    "OF": "end",
    "[1~": "home",
    "[4~": "end",
}


class TerminalClosed(Exception):
    """A signal stops the dashboard, or its terminal is gone."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def keys_of(text: str) -> Iterator[str]:
    """Yield the names of the typed keys; skip unknown escape sequences."""
    at = 0
    while at < len(text):
        rest = text[at + 1 :]
        if text[at] == "\x1b" and rest[:1] in ("[", "O") and len(rest) > 1:
            end = next((n for n, c in enumerate(rest[1:], start=1) if "@" <= c <= "~"), len(rest) - 1)
            name = _SEQUENCES.get(rest[: end + 1])
            at += end + 2
            if name is not None:
                yield name
        else:
            yield _NAMED.get(text[at], text[at])
            at += 1


def ansi(line: Text, console: Console) -> str:
    """Return a line with the escape sequences of this console: its colours, or none with NO_COLOR."""
    parts = []
    for text, text_style, _ in line.render(console):
        text_style = text_style.without_color if text_style is not None and console.no_color else text_style
        parts.append(text_style.render(text, color_system=console._color_system) if text_style is not None else text)
    return "".join(parts)


class Terminal:
    """The keyboard and the screen; use them within `taken`."""

    def __init__(self, keyboard: int, screen: IO[str], console: Console) -> None:
        self._keyboard = keyboard
        self._screen = screen
        self._console = console
        self._drawn: list[str] = []
        self._before = termios.tcgetattr(keyboard)
        self._changed = True
        self._signal = 0
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Read single keys and show the alternate screen until the body ends, however it ends."""
        numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
        handlers = {number: signal.signal(number, self._note) for number in numbers}
        try:
            self._take()
            yield
        except OSError as error:  # EIO: its window was closed
            raise TerminalClosed(0) from error
        finally:
            self._give_back()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self._read)
            os.close(self._write)

    def size(self) -> tuple[int, int]:
        """Return (columns, lines)."""
        try:
            found = os.get_terminal_size(self._screen.fileno())
        except OSError as error:
            raise TerminalClosed(0) from error
        return found.columns or 80, found.lines or 24  # a terminal that does not know says 0

    def wait(self, seconds: float) -> list[str]:
        """Return the keys that arrive; none if the time is over or a signal came.  Raises TerminalClosed."""
        ready, _, _ = select.select([self._keyboard, self._read], [], [], seconds)
        if self._read in ready:
            os.read(self._read, 4096)
        if self._signal:
            raise TerminalClosed(0 if self._signal == signal.SIGINT else 128 + self._signal)
        if self._keyboard not in ready:
            return []
        typed = os.read(self._keyboard, 4096)
        if not typed:
            raise TerminalClosed(0)
        return list(keys_of(typed.decode("utf-8", "replace")))

    def paint(self, lines: Sequence[Text]) -> None:
        """Show exactly these lines."""
        drawn = [ansi(line, self._console) for line in lines]
        out = []
        if self._changed:
            out, self._drawn, self._changed = ["\x1b[0m\x1b[2J"], [], False
        for at, line in enumerate(drawn):
            if at >= len(self._drawn) or self._drawn[at] != line:
                out.append(f"\x1b[{at + 1};1H\x1b[0m{line}\x1b[0m\x1b[K")
        if len(self._drawn) > len(drawn):
            out.append(f"\x1b[{len(drawn) + 1};1H\x1b[J")
        self._drawn = drawn
        if out:
            self._screen.write("".join(out))
            self._screen.flush()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self._stop()
        elif number == signal.SIGCONT:
            self._take()
        elif number == signal.SIGWINCH:
            self._changed = True
        else:
            self._signal = number
        os.write(self._write, b"!")

    def _stop(self) -> None:
        """Ctrl-Z: give the terminal to the shell until `fg`, which sends SIGCONT."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)

    def _take(self) -> None:
        tty.setcbreak(self._keyboard, termios.TCSADRAIN)
        self._screen.write(_ENTER)
        self._screen.flush()
        self._changed = True

    def _give_back(self) -> None:
        try:
            self._screen.write(_LEAVE)
            self._screen.flush()
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)
        except (OSError, termios.error):  # the terminal is gone
            self._changed = True
