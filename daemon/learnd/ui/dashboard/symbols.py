"""The signs of the dashboard, and columns of an exact width in any alphabet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from learnd.ui.views.colours import COLOURS


@dataclass(frozen=True)
class SymbolSet:
    """ascii: use no other characters, for terminals that cannot show them."""

    ascii: bool = False

    @property
    def rule(self) -> str:
        return "-" if self.ascii else "─"

    @property
    def more(self) -> str:
        return "~" if self.ascii else "…"

    @property
    def cursor(self) -> str:
        return ">" if self.ascii else "▸"

    @property
    def steps(self) -> str:
        """The characters of a sparkline, from the lowest to the highest."""
        return "_.-=+*#@" if self.ascii else "▁▂▃▄▅▆▇█"

    def sign(self, state: str) -> str:
        """The sign beside the name of a state, so that colour is never the only difference."""
        plain, drawn = _SIGNS.get(state, (" ", " "))
        return plain if self.ascii else drawn

    def plain(self, text: str) -> str:
        return text.encode("ascii", "backslashreplace").decode() if self.ascii else text

    def cut(self, text: str, width: int) -> str:
        """Return exactly `width` cells: padded with spaces, or cut with a mark."""
        if cell_len(text) <= width:
            return text + " " * (width - cell_len(text))
        return set_cell_size(text, width - 1) + self.more if width > 1 else set_cell_size(text, max(0, width))

    def bar(self, share: float, width: int) -> str:
        full = round(share * width)
        return ("#" if self.ascii else "█") * full + ("." if self.ascii else "░") * (width - full)

    def sparkline(self, values: Sequence[float], width: int) -> str:
        """Draw the last values, one per cell, scaled between their lowest and their highest."""
        shown = values[-width:] if width > 0 else ()
        low, high = min(shown, default=0.0), max(shown, default=0.0)
        scale = (len(self.steps) - 1) / (high - low) if high > low else 0.0
        return "".join(self.steps[round((value - low) * scale)] for value in shown)


_SIGNS = {  # (ASCII, Unicode)
    "learned": ("+", "✓"),
    "ok": ("+", "✓"),
    "running": (">", "▸"),
    "busy": (">", "▸"),
    "idle": (".", "·"),
    "queued": ("=", "≡"),
    "waiting": ("~", "∙"),
    "paused": ("|", "‖"),
    "quarantined": ("!", "!"),
    "restarting": ("!", "!"),
    "rejected": ("x", "✗"),
    "failed": ("x", "✗"),
    "stopped": ("-", "-"),
}
_STYLES = {"busy": "cyan", "paused": "yellow", "restarting": "yellow", "stopped": "yellow", "dim": "dim"}


def style(state: str) -> str:
    return _STYLES.get(state) or COLOURS.get(state, "")


def columns(rows: Sequence[Sequence[tuple[str, str]]], width: int, symbols: SymbolSet) -> list[Text]:
    """Lay out cells (text, state) as lines of this width.  The first column shrinks, the last takes the rest.

    If the columns do not fit, the last of the middle ones are left out.
    """
    if not rows:
        return []
    shown = [[(symbols.plain(_signed(text, state, symbols)), state) for text, state in row] for row in rows]
    widths = [max(cell_len(row[at][0]) for row in shown) for at in range(len(shown[0]))]
    widths[0] = min(widths[0], max(8, width // 3))
    keep = list(range(len(widths)))
    while len(keep) > 3 and sum(widths[at] + 2 for at in keep[:-1]) + 12 > width:
        del keep[-2]
    return [_line(row, keep, widths, width, symbols) for row in shown]


def _signed(text: str, state: str, symbols: SymbolSet) -> str:
    return f"{symbols.sign(state)} {text}" if text == state and state in _SIGNS else text


def _line(
    row: Sequence[tuple[str, str]], keep: Sequence[int], widths: Sequence[int], width: int, symbols: SymbolSet
) -> Text:
    line, left = Text(no_wrap=True), width
    for at in keep:
        text, state = row[at]
        room = left if at == keep[-1] else min(widths[at], left)
        line.append(symbols.cut(text, room), style(state))
        left -= room
        if at != keep[-1]:
            gap = min(2, left)
            line.append(" " * gap)
            left -= gap
    return line


def only_ascii(stream: TextIO) -> bool:
    """Whether the stream's encoding is not UTF-8."""
    return (stream.encoding or "").lower().replace("-", "") != "utf8"
