"""The confusion matrix that `learnd show` and the HTML report share."""

from __future__ import annotations

from typing import Any

FULL_MATRIX = 12  # classes: with more, only the most confused pairs are listed
MAX_PAIRS = 12  # pairs of classes that are listed then


def confusion_matrix(report: dict[str, Any]) -> list[list[int]]:
    """Return rows per true class and columns per predicted class, in the order of the report's classes."""
    classes = report["classes"]
    place = {name: number for number, name in enumerate(classes)}
    rows = [[0] * len(classes) for _ in classes]
    for number, count in enumerate(report["asked"]):
        rows[number][number] = count
    for one in report["confusions"]:
        right, predicted = place[one["class_name"]], place[one["told_as"]]
        rows[right][predicted] += one["images"]
        rows[right][right] -= one["images"]
    return rows
