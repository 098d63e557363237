"""What is on the screen, to the character.  RENEW_SNAPSHOTS=1 rewrites the snapshots: look at them."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.cells import cell_len

from learnd.ui.dashboard.actions import svg
from learnd.ui.dashboard.keys import KEY_HELP, Action, ActionKind, DashboardView, TextPage
from learnd.ui.dashboard.layout import lay_out
from learnd.ui.dashboard.panels import DaemonState, Panel
from learnd.ui.dashboard.symbols import SymbolSet
from tests.ui.dashboard.scenes import BUSY, ERRORS, FACTS, MANY, NAMES, scene

SIZES = ((160, 45), (80, 24), (60, 20), (39, 9))
FOLDER = Path(__file__).with_name("snapshots")
DRAWN_BY = FOLDER / "rich.txt"  # the version of rich that made the SVGs


def text(name: str, size: tuple[int, int], view: DashboardView | None = None, *, ascii: bool = False) -> str:
    lines = lay_out(scene(FACTS[name]), view or DashboardView(), size, SymbolSet(ascii))
    return "".join(f"{line.plain.rstrip()}\n" for line in lines)


def same(path: Path, content: str) -> None:
    if os.environ.get("RENEW_SNAPSHOTS"):
        path.write_text(content, encoding="utf-8")
        DRAWN_BY.write_text(version("rich") + "\n")
    assert path.read_text(encoding="utf-8") == content, f"RENEW_SNAPSHOTS=1 renews {path.name}"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", FACTS)
def test_it_looks_as_it_did(name: str, size: tuple[int, int]) -> None:
    same(FOLDER / f"{name}-{size[0]}x{size[1]}.txt", text(name, size))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", FACTS)
def test_its_picture_looks_as_it_did(name: str, size: tuple[int, int]) -> None:
    drawn_by = DRAWN_BY.read_text().strip() if DRAWN_BY.exists() else ""
    if drawn_by != version("rich") and not os.environ.get("RENEW_SNAPSHOTS"):
        pytest.skip(f"the pictures were drawn by rich {drawn_by}, this is {version('rich')}")
    same(
        FOLDER / f"{name}-{size[0]}x{size[1]}.svg",
        svg(lay_out(scene(FACTS[name]), DashboardView(), size, SymbolSet()), size),
    )


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("ascii", [True, False])
def test_it_fills_every_size_and_never_overflows(name: str, ascii: bool) -> None:
    for size in ((1, 1), (20, 50), (40, 10), (41, 12), (79, 23), (119, 30), (120, 30), (121, 11), (250, 80)):
        for panel in Panel:
            lines = lay_out(scene(FACTS[name]), DashboardView(focus=panel), size, SymbolSet(ascii))
            assert len(lines) == (1 if size[0] < 40 or size[1] < 10 else size[1])
            assert max(line.cell_len for line in lines) <= size[0]


@pytest.mark.parametrize("name", FACTS)
def test_ascii_is_ascii_and_names_cannot_control_the_terminal(name: str) -> None:
    assert text(name, (160, 45), ascii=True).isascii()
    for size in SIZES:
        shown = text(name, size)
        assert all(line.isprintable() for line in shown.splitlines())


def test_a_problem_is_shown_with_its_remedy_and_by_a_word_and_a_sign() -> None:
    shown = text("errors", (250, 45), DashboardView(focus=Panel.PROBLEMS))
    assert "✗ rejected" in shown
    assert "-> add another class" in shown
    assert "! quarantined" in shown
    assert "2 strikes" in shown
    assert "‖ paused" in shown
    assert "esc\\x1b[31mape\\r\\n" in shown


def test_the_stage_progress_and_remaining_time_of_a_job_are_shown() -> None:
    shown = text("busy", (160, 45))
    assert "embed 30/75" in shown
    assert "about 21 s left" in shown  # 75 images at 0.45 s, 12 s of which are over
    assert "████░░░░░░" in shown
    assert "route finetune 4/8" in shown
    assert "retry in 42 s (the worker was killed by SIGKILL, at: embed)" in shown


def test_the_focused_panel_scrolls_to_the_selected_row() -> None:
    view = DashboardView(focus=Panel.RESULTS, chosen={Panel.RESULTS: "task-150/1"})
    (chosen,) = (line for line in text("many", (80, 24), view).splitlines() if "task-150" in line)
    assert chosen.startswith("▸ task-150")


def test_questions_pages_and_the_filter_are_visible_at_every_size() -> None:
    for size in SIZES:
        assert "Retry bad?" in text("errors", size, DashboardView(asked=Action(ActionKind.RETRY, "bad")))
        assert "/bir_" in text("busy", size, DashboardView(filter="bir", typing=True))
    assert KEY_HELP[0] in text("busy", (80, 24), DashboardView(text_page=TextPage("help", KEY_HELP)))


def test_wide_names_do_not_shift_the_next_column() -> None:
    lines = lay_out(scene(NAMES), DashboardView(), (160, 45), SymbolSet())
    left = 160 * 11 // 20
    for line in lines[2:-1]:
        widths = [cell_len(line.plain[:end]) for end in range(len(line.plain) + 1)]
        assert left in widths or max(widths) < left


def test_the_scenes_are_as_described() -> None:
    assert len(scene(MANY).panels[Panel.RESULTS]) == 200
    assert scene(ERRORS).state is DaemonState.PAUSED
    assert scene(BUSY).state is DaemonState.RUNNING
