"""Data to stdout, chatter to stderr; colour and progress on a terminal alone.  rich is imported when it is needed."""

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

ProgressReport = Callable[[str, int, int], None]  # what is being done, done, in all (0: not known)

UNBOUNDED = 10_000  # columns where no terminal says: whoever reads a file or a pipe wraps no lines


def print_json(data: dict[str, Any]) -> None:
    """One document on stdout.  ASCII: it survives any locale, and names that are no UTF-8."""
    click.echo(json.dumps({"schema": SCHEMA, **data}, indent=1))


def say(text: str) -> None:
    """Chatter, on stderr; names in it cannot steer the terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=True)


def console(*, err: bool = False) -> Console:
    """stdout, or stderr: as wide as its terminal, or as what is printed."""
    from rich.console import Console

    terminal = (sys.stderr if err else sys.stdout).isatty()
    return Console(stderr=err, width=None if terminal else UNBOUNDED, markup=False, highlight=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Data for people, on stdout; without the spaces that fill a table's last column."""
    paper = console()
    with paper.capture() as captured:
        paper.print(*parts, sep="\n")
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def columns(*names: str, flexible: str = "", right: tuple[str, ...] = ()) -> Table:
    """An empty table; the flexible column alone wraps where the terminal is narrow."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(names))
    for name in names:
        table.add_column(name, no_wrap=name != flexible, overflow="fold", justify="right" if name in right else "left")
    return table


def coloured(word: str) -> Any:
    """A state or a level in its colour."""
    from rich.text import Text

    return Text(word, style=COLOURS.get(word, ""))


@contextmanager
def progress(title: str) -> Iterator[ProgressReport]:
    """How far a long work has come: a bar on a terminal, one plain line elsewhere."""
    if not sys.stderr.isatty():
        say(title)
        yield lambda _what, _done, _total: None
        return
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    looks = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Bars(*looks, console=console(err=True), transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total or None)
