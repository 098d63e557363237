"""Print data to stdout and messages to stderr; colours and progress bars on a terminal only.  rich is imported late."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from learnd.identity import printable
from learnd.messages.convert import SCHEMA
from learnd.ui.views.colours import COLOURS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

ProgressReport = Callable[[str, int, int], None]  # what is being done, steps done, steps in all (0: not known)

NARROW = 8  # columns: the least width of a flexible column
UNBOUNDED = 10_000  # columns, for files and pipes: no line is wrapped there


def print_json(data: dict[str, Any]) -> None:
    """Print one document.  It is ASCII, so that it survives any locale and names that are not UTF-8."""
    click.echo(json.dumps({"schema": SCHEMA, **data}, indent=1))


def say(text: str) -> None:
    """Print a message to stderr, with control characters escaped."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=True)


def console(*, err: bool = False) -> Console:
    """Return a console for stdout or stderr: as wide as its terminal, else unbounded."""
    from rich.console import Console

    terminal = (sys.stderr if err else sys.stdout).isatty()
    return Console(stderr=err, width=None if terminal else UNBOUNDED, markup=False, highlight=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Print to stdout, without the spaces that pad the last column of a table."""
    sys.stdout.write("".join(f"{line}\n" for line in lines(console(), *parts)))


def lines(paper: Console, *parts: RenderableType) -> list[str]:
    """Render the parts below each other.

    A table that cannot be narrow enough is wider than the console: the terminal wraps its lines, and no cell is cut.
    """
    from rich.table import Table

    terminal = paper.width
    with paper.capture() as captured:
        for part in parts:
            paper.width = max(terminal, _narrowest(part)) if isinstance(part, Table) else terminal
            paper.print(part)
    return [line.rstrip() for line in captured.get().splitlines()]


def _narrowest(table: Table) -> int:
    """The width of a table whose flexible columns are as narrow as they can be."""
    from rich.cells import cell_len
    from rich.text import Text

    total = 2 * (len(table.columns) - 1)
    for column in table.columns:
        cells = [*column.cells, *([column.header] if table.show_header else [])]
        widest = max((cell.cell_len if isinstance(cell, Text) else cell_len(str(cell)) for cell in cells), default=0)
        total += widest if column.no_wrap else min(widest, NARROW)
    return total


def columns(*names: str, flexible: str = "", right: tuple[str, ...] = ()) -> Table:
    """Return an empty table.  On a narrow terminal only the flexible column wraps."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(names))
    for name in names:
        table.add_column(name, no_wrap=name != flexible, overflow="fold", justify="right" if name in right else "left")
    return table


def coloured(word: str) -> Any:
    """The name of a state or level in its colour."""
    from rich.text import Text

    return Text(word, style=COLOURS.get(word, ""))


@contextmanager
def progress(title: str) -> Iterator[ProgressReport]:
    """Show the progress of a long operation: a bar on a terminal, else one plain line."""
    if not sys.stderr.isatty():
        say(title)
        yield lambda _what, _done, _total: None
        return
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    parts = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Bars(*parts, console=console(err=True), transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total or None)
