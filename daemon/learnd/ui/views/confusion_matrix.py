"""The confusion matrix of a report, for whoever draws it."""

from __future__ import annotations

from typing import Any

SQUARE = 12  # classes up to which the whole matrix is drawn
MAX_PAIRS = 12  # beyond, so many pairs of classes are listed


def square(report: dict[str, Any]) -> list[list[int]]:
    """A row a class, a column what its measured images were told as; both in the order of the report's classes."""
    classes = report["classes"]
    place = {name: number for number, name in enumerate(classes)}
    rows = [[0] * len(classes) for _ in classes]
    for number, count in enumerate(report["asked"]):
        rows[number][number] = count
    for one in report["confusions"]:
        right, told = place[one["class_name"]], place[one["told_as"]]
        rows[right][told] += one["images"]
        rows[right][right] -= one["images"]
    return rows
