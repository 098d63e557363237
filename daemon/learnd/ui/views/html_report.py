"""The whole state as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

The page is html_report.html, a jinja2 template that escapes every value.  Only the two drawings are markup; they escape
the names in them themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from learnd.identity import printable
from learnd.messages.convert import Json
from learnd.metrics import Matrix
from learnd.ui.views import accuracy_curve, heatmap
from learnd.ui.views.confusion_matrix import MAX_PAIRS, SQUARE, square
from learnd.ui.views.formatting import counted, moment, size

DETAILED = 200  # tasks that are shown in detail, the newest; the others get one line


def page(data: Json, unified: Matrix, scoped: Matrix) -> str:
    """Return the document.  data: see `learnd.ui.commands.knowledge.report`."""
    template = _environment().get_template("html_report.html")
    drawn = heatmap.svg(heatmap.draw({"the darker the better": unified})) if unified.tasks else ""
    return template.render(
        data=data,
        cards=_cards(data),
        curve=Markup(accuracy_curve.svg(unified, scoped)),
        heatmap=Markup(drawn),
        problems=[
            (row["name"], row["state"], row["reason"])
            for row in data["tasks"]
            if row["state"] in ("failed", "rejected")
        ],
        joins=list(_joins(data)),
        versions=list(_versions(data["versions"][:DETAILED])),
        decisions=list(_decisions(data["decisions"])),
    )


def _environment() -> Environment:
    """Every value is escaped, control characters in it are shown, and a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("learnd.ui.views", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_legible,
        keep_trailing_newline=True,
    )
    environment.filters |= {
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
    return environment


def _legible(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cards(data: Json) -> list[tuple[str, object]]:
    known = data["knowledge"]
    return [
        ("version", known["version"]),
        ("tasks", known["tasks"]),
        ("classes", known["classes"]),
        ("on the disk", size(known["bytes"])),
        ("network", known["backbone"]),
        ("among everything", _share(data["accuracy"]["unified"])),
        ("each task by itself", _share(data["accuracy"]["scoped"])),
    ]


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
    if len(report["classes"]) > SQUARE:
        return []

    def kind(row: int, column: int, count: int) -> str:
        return " hit" if row == column else " miss" if count else ""

    return [
        (name, [(count, kind(number, column, count)) for column, count in enumerate(row)])
        for number, (name, row) in enumerate(zip(report["classes"], square(report), strict=True))
    ]


def _joins(data: Json) -> Iterator[tuple[str, str, str]]:
    said = [(one, one["by"] if one["in_force"] else f"{one['by']}, waits") for one in data["joins"]]
    said += [(one, "suggested") for one in data["twins"]]
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
