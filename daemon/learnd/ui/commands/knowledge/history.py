"""`learnd history`: the matrix R as it grew, the figures that it comes to, and a picture of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from learnd.control.journal.surveys import SurveyResult, matrices
from learnd.errors import LearndError
from learnd.identity import printable
from learnd.messages.convert import Json
from learnd.metrics import Matrix, metrics
from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, heatmap, json_output
from learnd.ui.views.formatting import counted

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

STRIP = 40  # versions at most in the last column of the table
FIGURE_LABELS = {
    "accuracy": "accuracy",
    "learning_accuracy": "accuracy when new",
    "backward_transfer": "backward transfer",
    "forgetting": "forgetting",
    "negative_flip_rate": "negative flips",
}
PANELS = {"unified": "among everything", "scoped": "by its own state"}


@click.command(cls=Command)
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write a heat map to this file, as SVG.")
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Write a heat map to this file, as PNG.")
@json_option
@pass_asked
def history(asked: CommandLine, svg: Path | None, png: Path | None, as_json: bool) -> None:
    """Show each task's accuracy at every version: among all classes, and among its own.

    The daemon measures it after each new version, when it is idle, for at most knowledge.survey_tasks tasks.  It uses
    held-out images; for a task without any, all remembered images, each as if it had not been learned.

    \b
    Examples:
      learnd history
      learnd history --svg history.svg
      learnd history --json | jq .metrics.unified.forgetting
    """
    with json_output.journal_if_any(asked.settings()) as journal:
        found = journal.surveys.all() if journal else []
    data = as_data(found)
    panels = dict(zip(("scoped", "unified"), matrices(found), strict=True))
    picture = heatmap.draw({title: panels[name] for name, title in PANELS.items()})
    if svg is not None:
        _write(svg, heatmap.svg(picture).encode())
    if png is not None:
        _write(png, heatmap.png(picture))
    if as_json:
        console.print_json(data)
    elif found:
        console.show(*table(data, panels["unified"], panels["scoped"]))
    else:
        console.say("nothing was asked yet: the daemon does so once it has learnt, when nothing else is to be done")


def as_data(found: list[tuple[int, SurveyResult]]) -> Json:
    """`learnd history --json`, without the schema."""
    scoped, unified = matrices(found)
    flips: dict[int, int] = defaultdict(int)
    compared: dict[int, int] = defaultdict(int)
    for version, one in found:
        flips[version] += one.flips
        compared[version] += one.compared
    rate = sum(flips.values()) / sum(compared.values()) if any(compared.values()) else None
    return {
        "versions": list(unified.versions),
        "tasks": list(unified.tasks),
        "unified": [list(row) for row in unified.values],
        "scoped": [list(row) for row in scoped.values],
        "flips": [flips[version] for version in unified.versions],
        "compared": [compared[version] for version in unified.versions],
        "metrics": {
            "unified": {**asdict(metrics(unified)), "negative_flip_rate": rate},
            "scoped": asdict(metrics(scoped)),
        },
    }


def table(data: Json, unified: Matrix, scoped: Matrix) -> Iterator[RenderableType]:
    """One line a task, and the figures below."""
    numbers = ("since", "its own", "when new", "best", "now")
    lines = console.columns("task", *numbers, "version by version", right=numbers)
    for j, task in enumerate(unified.tasks):
        first, column = unified.learnt(j), unified.column(j)
        known = [value for value in column if value is not None]
        own = [value for value in scoped.column(j) if value is not None]
        cells = [own[-1] if own else None, known[0] if known else None, max(known, default=None), column[-1]]
        since = "" if first is None else str(unified.versions[first])
        lines.add_row(printable(task), since, *map(_number, cells), strip(column))
    yield lines
    yield ""
    yield _figures(data["metrics"])
    rows = counted(len(unified.versions), "version")
    yield f"\n{rows} asked about; by version, tenths of the accuracy among everything: 9 is 0.9 or more, - not measured"


def strip(column: tuple[float | None, ...]) -> str:
    """A digit a version, tenths rounded down; of many versions the last."""
    return "".join("-" if value is None else str(min(9, int(value * 10))) for value in column[-STRIP:])


def _figures(found: Json) -> Table:
    lines = console.columns("", *PANELS.values(), right=tuple(PANELS.values()))
    for key, title in FIGURE_LABELS.items():
        lines.add_row(title, *(_number(found[name].get(key)) for name in PANELS))
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        remedy = "name a file in a folder that you may write to"
        raise LearndError(f"cannot be written ({error.strerror})", where=str(path), remedy=remedy) from error
