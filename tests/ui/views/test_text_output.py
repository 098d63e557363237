"""Text for people at every width of a terminal: lines wrap, and no number or name is cut."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from learnd.ui.views import text_output
from learnd.ui.views.console import lines
from tests.ui.reported import REPORT, TASK

WIDTHS = (40, 80, 200)
NAME = "a-task-with-a-name-of-forty-characters-x"
ROW: dict[str, Any] = {**TASK, "name": NAME, "revision": 1, "version": 1234, "newest": True, "updated": 1.7e9}
LEARNT = {
    **REPORT,
    "device": "cpu",
    "images": 8,
    "measured_images": 8,
    "accuracy_ci": [0.5, 0.98],
    "transductive": False,
}
REVISION = {**ROW, "report": {**LEARNT, "seconds": 1.5}, "problems": [], "detail": "", "kept": None}
SHOWN = {"name": NAME, "revisions": [REVISION], "nearest": [], "joins": [], "twins": [], "events": []}
VERSION = {"version": 1234, "head": True, "created": 1.7e9, "accuracy": 0.875, "tasks": 1234, "classes": 12345}
VERSION |= {"bytes": 45_600_000, "reason": f"learned {NAME}", "task": NAME, "replaced": [], "without": []}
DECISION = {"version": None, "reasons": ["a task got worse"], "size": 1.23, "latency": 1.01, "at": 1.7e9}
DECISION |= {"before": 0.8765, "after": 0.8654, "flips": 0.0123, "backbone_after": "c0ffee123456"}
PLUGIN = {"name": "ridge", "state": "ok", "summary": "a linear head in closed form", "reason": "", "source": "built-in"}
PLUGIN |= {"bids": 12, "measured": 12, "wins": 3, "rank": 1.25, "seconds": 0.05}
MATRIX = {**LEARNT, "classes": [f"class-{number}" for number in range(12)], "asked": [1234] * 12}
WIDE = {**SHOWN, "revisions": [{**REVISION, "report": {**MATRIX, "confusions": [], "mistakes": [], "seconds": 1.5}}]}
CONFUSED = [{"class_name": "class-0", "told_as": "class-11", "images": 1000}]
WIDE["revisions"][0]["report"]["confusions"] = CONFUSED

VIEWS: dict[str, list[RenderableType]] = {
    "tasks": [text_output.tasks([ROW])],
    "versions": [text_output.versions([VERSION])],
    "decisions": [text_output.decisions([DECISION])],
    "show": list(text_output.task(SHOWN)),
    "show with a wide matrix": list(text_output.task(WIDE)),
    "plugins": [text_output.plugins([PLUGIN])],
}


def drawn(view: str, width: int) -> list[str]:
    return lines(Console(width=width, file=io.StringIO(), markup=False, highlight=False, emoji=False), *VIEWS[view])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_cuts_a_number_or_loses_a_letter(view: str, width: int) -> None:
    unbounded = drawn(view, 10_000)
    numbers = {word for line in unbounded for word in line.split() if word.strip("0123456789.") == ""}
    narrow = drawn(view, width)
    assert numbers <= {word for line in narrow for word in line.split()}
    assert sorted("".join(unbounded).replace(" ", "")) == sorted("".join(narrow).replace(" ", ""))


def test_only_what_cannot_be_narrower_is_wider_than_the_terminal() -> None:
    assert max(map(len, drawn("plugins", 80))) <= 80
    assert max(map(len, drawn("decisions", 100))) <= 100
