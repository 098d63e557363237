"""Every key: the next view and the action."""

from __future__ import annotations

from learnd.ui.dashboard.keys import Action, ActionKind, DashboardView, press, selected
from learnd.ui.dashboard.panels import Panel
from tests.ui.dashboard.scenes import BUSY, EMPTY, ERRORS, scene


def after(view: DashboardView, *keys: str, facts: object = BUSY) -> tuple[DashboardView, Action | None]:
    content = scene(ERRORS if facts is ERRORS else EMPTY if facts is EMPTY else BUSY)
    action = None
    for key in keys:
        view, action = press(view, key, content)
    return view, action


def test_q_quits_but_on_a_page_it_closes_the_page() -> None:
    assert after(DashboardView(), "q")[1] == Action(ActionKind.QUIT)
    view, action = after(DashboardView(), "?", "q")
    assert (view.text_page, action) == (None, None)


def test_tab_cycles_through_the_panels_and_back() -> None:
    assert after(DashboardView(), *["tab"] * len(Panel))[0].focus == DashboardView().focus
    assert after(DashboardView(), "tab", "backtab")[0].focus == DashboardView().focus


def test_the_cursor_stays_on_its_task_and_within_the_list() -> None:
    view, _ = after(DashboardView(), "down", "j", "up")
    assert view.chosen[Panel.RESULTS] == "task 2/1"
    assert after(view, "end")[0].chosen[Panel.RESULTS] == "task 30/1"
    assert after(view, "home", "up")[0].chosen[Panel.RESULTS] == "task 1/1"
    gone = DashboardView(chosen={Panel.RESULTS: "no longer there"})
    item = selected(gone, scene(BUSY))
    assert item is not None
    assert item.key == "task 1/1"


def test_enter_shows_the_details_of_the_selected_task() -> None:
    assert after(DashboardView(), "down", "enter")[1] == Action(ActionKind.DETAILS, "task 2")
    view, action = after(DashboardView(focus=Panel.PLUGINS), "enter")
    assert (view.message, action) == ("no task is selected", None)


def test_nothing_changes_without_a_yes() -> None:
    view, action = after(DashboardView(focus=Panel.PROBLEMS), "down", "down", "down", "r", facts=ERRORS)
    assert action is None
    assert view.asked is not None
    assert view.asked.do == ActionKind.RETRY
    assert after(view, "y", facts=ERRORS)[1] == view.asked
    refused, action = after(view, "r", facts=ERRORS)
    assert (refused.asked, refused.message, action) == (None, "nothing was changed", None)
    assert after(DashboardView(), "p", "y")[1] == Action(ActionKind.PAUSE)
    assert after(DashboardView(), "p", "y", facts=ERRORS)[1] == Action(ActionKind.RESUME)


def test_readonly_changes_nothing() -> None:
    for key in ("p", "r"):
        view, action = after(DashboardView(readonly=True), key)
        assert (view.asked, action) == (None, None)
        assert "--readonly" in view.message


def test_a_filter_is_typed_kept_and_cleared() -> None:
    view, action = after(DashboardView(), "/", "q", "é", "backspace", "r")
    assert (view.filter, view.typing, action) == ("qr", True, None)
    kept, _ = after(view, "enter")
    assert (kept.filter, kept.typing) == ("qr", False)
    assert after(kept, "esc")[0].filter == ""


def test_the_log_is_that_of_the_selected_device() -> None:
    assert after(DashboardView(focus=Panel.DEVICES), "down", "l")[1] == Action(ActionKind.LOG, "cpu:1")
    assert after(DashboardView(), "l")[1] == Action(ActionKind.LOG)
    assert after(DashboardView(), "s")[1] == Action(ActionKind.SVG)


def test_an_empty_panel_has_no_selection() -> None:
    for key in ("down", "end", "enter", "r", "l"):
        view, action = after(DashboardView(), key, facts=EMPTY)
        assert view.asked is None
        assert action is None or action == Action(ActionKind.LOG)


def test_a_page_scrolls_within_its_text() -> None:
    view, _ = after(DashboardView(), "?", "down", "pgdn", "end")
    assert view.text_page is not None
    assert view.text_page.top == len(view.text_page.lines) - 1
    assert after(view, "home")[0].text_page == after(DashboardView(), "?")[0].text_page
