"""The HTML page of `learnd report`.  It is one file: no script, font or image from elsewhere.

html_report.html, a jinja2 template, has the markup; it includes the SVG of the chart and of the heat map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from learnd.messages.convert import Json
from learnd.messages.task import TaskState
from learnd.metrics import Matrix, accuracy
from learnd.ui.views import heatmap
from learnd.ui.views.accuracy_chart import accuracy_chart
from learnd.ui.views.confusion_matrix import FULL_MATRIX, MAX_PAIRS, confusion_matrix
from learnd.ui.views.formatting import counted, moment, size
from learnd.ui.views.templates import environment

DETAILED = 200  # tasks that are shown in detail: those that changed last; the others get one line


@dataclass(frozen=True)
class ReportPage:
    """The values of the page, in the JSON of the commands that print the same.

    at: Unix seconds; tasks: the newest revision of each; details: of those that changed last; unified, scoped: the
    accuracy of every task at every version among all classes, and within its own.
    """

    learnd: str
    at: float
    path: str
    knowledge: Json
    tasks: Sequence[Json]
    details: Sequence[Json]
    joins: Sequence[Json]
    twins: Sequence[Json]
    versions: Sequence[Json]
    decisions: Sequence[Json]
    unified: Matrix
    scoped: Matrix

    @property
    def cards(self) -> list[tuple[str, object]]:
        known = self.knowledge
        return [
            ("version", known["version"]),
            ("tasks", known["tasks"]),
            ("classes", known["classes"]),
            ("on the disk", size(known["bytes"])),
            ("network", known["backbone"]),
            ("among everything", _share(accuracy(self.unified))),
            ("each task by itself", _share(accuracy(self.scoped))),
        ]

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        bad = [row for row in self.tasks if row["state"] in (TaskState.FAILED, TaskState.REJECTED)]
        return [(row["name"], row["state"], row["reason"]) for row in bad]


def render(page: ReportPage) -> str:
    """Return the document."""
    templates = environment()
    templates.filters |= {
        "confusion_matrix": _confusion_matrix,
        "confusions": _confusions,
        "counted": counted,
        "interval": _interval,
        "mistakes": _mistakes,
        "moment": moment,
        "seconds": _seconds,
        "share": _share,
        "tried": _tried,
    }
    return templates.get_template("html_report.html").render(
        data=page,
        chart=accuracy_chart(page.unified, page.scoped),
        picture=heatmap.draw({"the darker the better": page.unified}) if page.unified.tasks else None,
        joins=list(_joins(page)),
        versions=list(_versions(page.versions[:DETAILED])),
        decisions=list(_decisions(page.decisions)),
    )


def _tried(report: Json) -> Iterator[tuple[object, ...]]:
    for one in report["candidates"]:
        reason = (one["reason"] or one["bid_reason"]).partition("\n")[0]
        figures = f"{one['bid']:.2f}", _share(one["accuracy"]), _seconds(one["seconds"])
        yield (one["algorithm"], *figures, one["outcome"], reason)


def _confusions(report: Json) -> Iterator[tuple[object, ...]]:
    for one in report["confusions"][:MAX_PAIRS]:
        yield one["class_name"], one["told_as"], one["images"]


def _mistakes(report: Json) -> Iterator[tuple[object, ...]]:
    for one in report["mistakes"]:
        yield one["path"], one["class_name"], one["told_as"], f"{one['probability']:.2f}"


def _confusion_matrix(report: Json) -> list[tuple[str, list[tuple[int, str]]]]:
    """A row per class: (images, CSS class) for each class that they were classified as.  Empty for many classes."""
    if len(report["classes"]) > FULL_MATRIX:
        return []

    def kind(row: int, column: int, count: int) -> str:
        return " hit" if row == column else " miss" if count else ""

    return [
        (name, [(count, kind(number, column, count)) for column, count in enumerate(row)])
        for number, (name, row) in enumerate(zip(report["classes"], confusion_matrix(report), strict=True))
    ]


def _joins(page: ReportPage) -> Iterator[tuple[str, str, str]]:
    said = [(one, one["by"] if one["in_force"] else f"{one['by']}, waits") for one in page.joins]
    said += [(one, "suggested") for one in page.twins]
    for one, how in said:
        yield f"{one['task']}/{one['class']}", f"{one['to_task']}/{one['to_class']}", how


def _versions(versions: Sequence[Json]) -> Iterator[tuple[object, ...]]:
    for one in versions:
        counts = one["tasks"], one["classes"], size(one["bytes"])
        yield (one["version"], moment(one["created"]), one["reason"], *counts)


def _decisions(decisions: Sequence[Json]) -> Iterator[tuple[str, ...]]:
    for one in decisions:
        became = "rejected" if one["version"] is None else f"version {one['version']}"
        means = f"{one['before']:.4f}", f"{one['after']:.4f}"
        yield (moment(one["at"]), became, *means, "; ".join(one["reasons"]) or "no task got worse")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
