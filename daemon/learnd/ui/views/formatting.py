"""How numbers, sizes, times and counts are written.  It imports no rich, so that `learnd status` is quick."""

from __future__ import annotations

import time

from learnd.identity import printable


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 class", "2 classes"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Bytes in kB or MB."""
    return f"{number / 1e6:,.1f} MB" if number >= 100_000 else f"{number / 1e3:,.1f} kB"


def moment(at: float) -> str:
    """Unix seconds as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def one_line(text: str) -> str:
    """A reason and its remedy in one line, with control characters escaped."""
    return printable(" ".join(line.strip() for line in text.strip().split("\n")))


def first_line(text: str) -> str:
    """The first line of a reason says what went wrong; a remedy or a traceback follows."""
    return (text.strip().splitlines() or [""])[0]
