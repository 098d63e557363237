"""The tables and lines that commands print.  They render what json_output.py returns, so both say the same."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from learnd.identity import printable
from learnd.messages.convert import Json
from learnd.ui.views.confusion_matrix import FULL_MATRIX, MAX_PAIRS, confusion_matrix
from learnd.ui.views.console import coloured, columns
from learnd.ui.views.formatting import counted, first_line, moment, one_line, size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NAMED = 10  # classes: with more, kept images are counted as a range and not per class


def tasks(rows: list[Json]) -> Table:
    """`learnd tasks`.  Revisions that have a successor are grey."""
    numbers = ("rev", "classes", "images", "accuracy", "seconds", "version")
    table = columns("task", "state", *numbers, "algorithm", "why", flexible="why", right=numbers)
    for row in rows:
        cells = [
            str(row["revision"]),
            _number(row["ways"] or None, "d"),
            _number(row["images"], "d"),
            _number(row["accuracy"], ".3f"),
            _number(row["seconds"], ".2f"),
            _number(row["version"], "d"),
        ]
        table.add_row(
            printable(row["name"]),
            coloured(row["state"]),
            *cells,
            row["algorithm"] or "",
            one_line(row["reason"]),
            style="" if row["newest"] else "dim",
        )
    return table


def versions(listed: list[Json]) -> Table:
    """`learnd versions`.  The current version, which answers questions, is marked "head"."""
    numbers = ("version", "accuracy", "tasks", "classes", "size")
    table = columns("version", "", "since", "what", *numbers[1:], flexible="what", right=numbers)
    for one in listed:
        cells = (_number(one["accuracy"], ".3f"), str(one["tasks"]), str(one["classes"]), size(one["bytes"]))
        head = "head" if one["head"] else ""
        table.add_row(str(one["version"]), head, moment(one["created"]), _changed(one), *cells)
    return table


def decisions(listed: list[Json]) -> Table:
    """The second table of `learnd versions`: each candidate network, the decision and its numbers."""
    numbers = ("mean before", "after", "flips", "size", "latency")
    table = columns("candidate", "", "when", "why", *numbers, flexible="why", right=numbers)
    for one in listed:
        became = "refused" if one["version"] is None else f"version {one['version']}"
        why = "; ".join(one["reasons"]) or "no task got worse"
        ratios = (f"{one['size']:.2f}x", f"{one['latency']:.2f}x")
        cells = (f"{one['before']:.4f}", f"{one['after']:.4f}", f"{one['flips']:.4f}", *ratios)
        table.add_row(one["backbone_after"][:12], became, moment(one["at"]), printable(why), *cells)
    return table


def _changed(version: Json) -> str:
    """Why a version was made, and which tasks changed if the reason does not say it."""
    said = version["reason"]
    if version["task"] is not None:
        said += "".join(f", in place of revision {old['revision']}" for old in version["replaced"])
    else:
        for what in ("added", "replaced", "removed"):
            names = ", ".join(one["task"] for one in version[what] if f"forgot {one['task']}" != said)
            said += f"; {what} {names}" if names else ""
    without = ", ".join(version["without"])
    return printable(said + (f" (without {without}, forgotten since)" if without else ""))


def task(data: Json) -> Iterator[RenderableType]:
    """`learnd show TASK`: every revision, the newest last, and the events."""
    for row in data["revisions"]:
        head = f"{printable(data['name'])}, revision {row['revision']}: "
        yield Text.assemble((head, "bold"), coloured(row["state"]), f"  (id {row['id']}, {moment(row['updated'])})")
        said = row["report"] or {}
        for line in (row["reason"], _learned_line(row), *_notes(said), _adapter_line(said), _kept_line(row)):
            if line:
                yield f"  {one_line(line)}"
        yield from problems(row["problems"])
        if row["report"]:
            yield _candidates(row["report"]["candidates"])
            yield from _mistakes(row["report"])
        if row["detail"]:
            yield Text.assemble(("  the end of the worker's log:\n", "bold"), _indented(row["detail"]))
        yield ""
    if data["nearest"]:
        near = ", ".join(f"{printable(one['task'])} ({one['distance']:.2f})" for one in data["nearest"])
        yield f"  nearest tasks: {near}"
    for one in data["joins"]:
        yield f"  {join(one)}"
    for one in data["twins"]:
        yield f"  {twin(one)}"
    happened = columns("when", "what", "message", flexible="message")
    for event in data["events"]:
        happened.add_row(moment(event["at"]), event["kind"], one_line(event["message"]))
    yield happened


def join(one: Json) -> str:
    """One line about a class that is joined to another."""
    waits = "" if one["in_force"] else "; it waits: that is not known"
    line = f"{one['task']}/{one['class']} is answered as {one['to_task']}/{one['to_class']} ({one['by']}{waits})"
    return printable(line)


def twin(one: Json) -> str:
    """One line about a suggested join."""
    pair = (f"{one['task']}/{one['class']}", f"{one['to_task']}/{one['to_class']}")
    return printable(f"{pair[0]} looks like {pair[1]}; if they are one: learnd alias {shlex.join(pair)}")


def _learned_line(row: Json) -> str:
    report = row["report"]
    if report is None:
        return ""
    line = f"{report['algorithm']} in {report['seconds']:.2f} s on {report['device']}, in version {row['version']}"
    line += f"; {counted(len(report['classes']), 'class', 'classes')}, {counted(report['images'], 'image')}"
    if report["accuracy"] is None:
        return f"{line}; too few images to measure it"
    low, high = report["accuracy_ci"]
    how = f"{report['measured_on']}, {counted(report['measured_images'], 'image')}"
    line += f"; accuracy {report['accuracy']:.3f}, 95 % interval {low:.3f} to {high:.3f} ({how})"
    return line + ("; its answers depend on the other images asked about" if report["transductive"] else "")


def _notes(report: Json) -> Iterator[str]:
    """The notes of task.yaml; and the source, if kept images were learnt again on another backbone."""
    for key in ("domain", "description"):
        if report.get(key):
            yield f"{key}: {report[key]}"
    if report.get("derived_from"):
        measured = f", accuracy {report['accuracy']:.3f} on kept images" if report["accuracy"] is not None else ""
        of = f"revision {report['derived_from']}, from {counted(report['images'], 'image')}"
        yield f"made anew of {of}, on backbone {report['backbone_hash'][:12]}{measured}"


def _adapter_line(report: Json) -> str:
    """The chosen adapter and the measurements behind it; empty if the backbone has no adapters."""
    scores = report.get("adapters") or ()
    measured = [f"{one['adapter']} {one['hits']} of {one['tries']}" for one in scores if one["tries"]]
    looks = [f"{one['near']:.0%} looks like {one['adapter']}" for one in scores if one["adapter"] != "identity"]
    return f"adapter: {report['adapter']} ({'; '.join(measured + looks)})" if scores else ""


def _kept_line(row: Json) -> str:
    """How many images are kept, and how many were evicted."""
    kept, report = row["kept"], row["report"]
    if kept is None or report is None:
        return ""
    line = f"{kept['exemplars']} of {counted(report['images'], 'image')} kept{_by_class(kept['classes'])}"
    line += f", and {kept['held_out']} held-out" if kept["held_out"] else ""
    return line + (f"; {kept['evicted']} had to go for memory.max_bytes" if kept["evicted"] else "")


def _by_class(counts: dict[str, int]) -> str:
    """How many per class, in brackets; by name if the numbers differ and the classes are few."""
    least, most = min(counts.values(), default=0), max(counts.values(), default=0)
    if least == most:
        return f" ({most} a class)" if most else ""
    if len(counts) > NAMED:
        return f" ({least} to {most} a class)"
    return f" ({', '.join(f'{name} {count}' for name, count in sorted(counts.items()))})"


def _candidates(candidates: list[Json]) -> Table:
    numbers = ("bid", "accuracy", "seconds")
    table = columns("  algorithm", *numbers, "outcome", "why", flexible="why", right=numbers)
    for one in candidates:
        table.add_row(
            f"  {one['algorithm']}",
            _number(one["bid"], ".2f"),
            _number(one["accuracy"], ".3f"),
            _number(one["seconds"], ".2f"),
            coloured(one["outcome"]),
            one_line(first_line(one["reason"]) or one["bid_reason"]),
        )
    return table


def _mistakes(report: Json) -> Iterator[RenderableType]:
    """Misclassified images: the confusion matrix or the most confused pairs, and the surest mistakes."""
    if not report.get("confusions"):
        return
    classes, asked = report["classes"], report["asked"]
    yield ""
    if len(classes) <= FULL_MATRIX:
        yield _confusion_matrix(report)
    else:
        table = columns("  of", "images", "told as", "images ", right=("images", "images "))
        counts = dict(zip(classes, asked, strict=True))
        for one in report["confusions"][:MAX_PAIRS]:
            names = printable(one["class_name"]), printable(one["told_as"])
            table.add_row(f"  {names[0]}", str(counts[one["class_name"]]), names[1], str(one["images"]))
        yield table
    table = columns("  surest mistakes", "is", "told as", "probability", right=("probability",))
    for one in report["mistakes"]:
        cells = (printable(one[name]) for name in ("path", "class_name", "told_as"))
        first, *rest = cells
        table.add_row(f"  {first}", *rest, f"{one['probability']:.2f}")
    yield table


def _confusion_matrix(report: Json) -> Table:
    """One row per true class, one column per predicted class; zeros off the diagonal are blank."""
    numbers = [str(place + 1) for place in range(len(report["classes"]))]
    table = columns("  confused", *numbers, right=tuple(numbers))
    for number, name, row in zip(numbers, report["classes"], confusion_matrix(report), strict=True):
        cells = [str(count) if count or number == column else "" for column, count in zip(numbers, row, strict=True)]
        table.add_row(f"  {number} {printable(name)}", *cells)
    return table


def problems(listed: list[Json]) -> Iterator[Text]:
    """Each problem with its place and its remedy."""
    for one in listed:
        where = "" if one["where"] in ("", ".") else f"{printable(one['where'])}: "
        said = f" [{one['code']}] {where}{printable(one['what'])}\n    -> {printable(one['remedy'])}"
        yield Text.assemble("  ", coloured(one["severity"]), said)


def plugins(listed: list[Json]) -> Table:
    """`learnd plugins`."""
    numbers = ("bids", "measured", "wins", "rank", "seconds") if any(one["measured"] for one in listed) else ()
    table = columns("algorithm", "state", *numbers, "source", "what it does", flexible="what it does", right=numbers)
    for one in sorted(listed, key=_place):
        said = one["summary"] if one["state"] == "ok" else first_line(one["reason"])
        done = [*(str(one[name]) for name in numbers[:3]), *(_number(one[name], ".2f") for name in numbers[3:])]
        table.add_row(one["name"], coloured(one["state"]), *done, printable(one["source"]), printable(said))
    return table


def _place(one: Json) -> tuple[int, float, str]:
    """The sort key of the leaderboard: most wins first, then the better mean rank."""
    return -one["wins"], one["rank"] if one["rank"] is not None else math.inf, one["name"]


def plugin(one: Json) -> Iterator[RenderableType]:
    """`learnd plugins info NAME`."""
    yield Text.assemble((one["name"], "bold"), ": ", coloured(one["state"]), f" ({printable(one['source'])})")
    if one["summary"]:
        yield f"  {one['summary']}"
    if one["reason"]:
        yield _indented(one["reason"])
    if one["options"]:
        yield f"\nOptions, as they are now; set them in config.yaml under plugins.{one['name']}:"
        table = columns("", "", flexible="")
        for name, value in one["options"].items():
            table.add_row(f"  {name}", json.dumps(value))  # which is YAML too: null, true
        yield table


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(line)}" for line in text.splitlines())
