"""What each key of the dashboard does: a pure function from a view and a key to the next view and an action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from learnd.ui.dashboard.panels import DaemonState, Panel, PanelRow, ScreenContent


class ActionKind(StrEnum):
    QUIT = "quit"
    DETAILS = "details"
    LOG = "log"
    SVG = "svg"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"


@dataclass(frozen=True)
class Action:
    """Something to do outside of the screen.  what: the task or the device that it is about, or ""."""

    do: ActionKind
    what: str = ""


@dataclass(frozen=True)
class TextPage:
    """A text in place of the panels, such as the help.  top: the number of the first visible line."""

    title: str
    lines: tuple[str, ...]
    top: int = 0


@dataclass(frozen=True)
class DashboardView:
    """The state of the user interface.  chosen: the key of the selected row of each panel.

    typing: the user is typing the filter; asked: the action that waits for a yes; message: shown in place of the hints.
    owner: the daemon stops with this dashboard, so quitting needs a yes.
    """

    focus: Panel = Panel.RESULTS
    chosen: Mapping[Panel, str] = field(default_factory=dict)
    filter: str = ""
    typing: bool = False
    text_page: TextPage | None = None
    asked: Action | None = None
    message: str = ""
    readonly: bool = False
    owner: bool = False


KEY_HELP = (
    "q, Ctrl-C     quit; the daemon keeps running, unless learnd run started it",
    "Tab, S-Tab    go to the next panel, or to the previous one",
    "up, down      select a row (also k, j, PgUp, PgDn, Home, End)",
    "Enter         show the details of the selected task",
    "/             show only tasks whose name contains a text; Esc shows all",
    "r             retry the selected task (asks first)",
    "p             pause: no new jobs start, running jobs finish (asks first);",
    "              p again resumes, and so does a restart of the daemon",
    "l             show the log of the selected device's worker, or the last events",
    "s             save the screen as an SVG file",
    "?             show this help",
    "Esc           close this page, or clear the filter",
)
MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -10, "pgdn": 10, "home": -(10**9), "end": 10**9}
_PANELS = list(Panel)


def press(view: DashboardView, key: str, content: ScreenContent) -> tuple[DashboardView, Action | None]:
    """key: a character, or "tab" "backtab" "enter" "esc" "up" "down" "pgup" "pgdn" "home" "end" "backspace"."""
    view = replace(view, message="")
    if view.asked is not None:
        agreed = view.asked if key in ("y", "Y") else None
        return replace(view, asked=None, message="" if agreed else "nothing was changed"), agreed
    if view.typing:
        return _type(view, key), None
    if view.text_page is not None:
        return _read(view, view.text_page, key)
    return _command(view, key, content)


def _type(view: DashboardView, key: str) -> DashboardView:
    if key == "enter":
        return replace(view, typing=False)
    if key == "esc":
        return replace(view, typing=False, filter="")
    if key == "backspace":
        return replace(view, filter=view.filter[:-1])
    return replace(view, filter=view.filter + key) if len(key) == 1 and key.isprintable() else view


def _read(view: DashboardView, page: TextPage, key: str) -> tuple[DashboardView, Action | None]:
    if key in MOVES:
        top = min(max(0, page.top + MOVES[key]), max(0, len(page.lines) - 1))
        return replace(view, text_page=replace(page, top=top)), None
    return (replace(view, text_page=None), None) if key in ("esc", "q", "enter", "?", "l") else (view, None)


def _command(view: DashboardView, key: str, content: ScreenContent) -> tuple[DashboardView, Action | None]:
    item = selected(view, content)
    task = item.task if item is not None else None
    if key == "q":
        return (replace(view, asked=Action(ActionKind.QUIT)), None) if view.owner else (view, Action(ActionKind.QUIT))
    if key == "?":
        return replace(view, text_page=TextPage("help", KEY_HELP)), None
    if key in ("tab", "backtab"):
        at = _PANELS.index(view.focus) + (1 if key == "tab" else -1)
        return replace(view, focus=_PANELS[at % len(_PANELS)]), None
    if key in MOVES:
        return _move(view, MOVES[key], content), None
    if key == "/":
        return replace(view, typing=True), None
    if key == "esc":
        return replace(view, filter=""), None
    if key == "s":
        return view, Action(ActionKind.SVG)
    if key == "l":
        device = item.key if item is not None and view.focus == Panel.DEVICES else ""
        return view, Action(ActionKind.LOG, device)
    if key == "enter":
        return (
            (view, Action(ActionKind.DETAILS, task)) if task else (replace(view, message="no task is selected"), None)
        )
    if key in ("p", "r") and view.readonly:
        return replace(view, message="this dashboard changes nothing (--readonly)"), None
    if key == "p":
        kind = ActionKind.RESUME if content.state is DaemonState.PAUSED else ActionKind.PAUSE
        return replace(view, asked=Action(kind)), None
    if key == "r":
        asked = Action(ActionKind.RETRY, task) if task else None
        return replace(view, asked=asked, message="" if task else "no task is selected"), None
    return view, None


def selected(view: DashboardView, content: ScreenContent) -> PanelRow | None:
    """Return the row under the cursor: the first if the chosen one is gone, None in an empty panel."""
    items = content.panels[view.focus]
    return items[cursor(view, view.focus, content)] if items else None


def cursor(view: DashboardView, panel: Panel, content: ScreenContent) -> int:
    chosen = view.chosen.get(panel)
    return next((at for at, item in enumerate(content.panels[panel]) if item.key == chosen), 0)


def _move(view: DashboardView, by: int, content: ScreenContent) -> DashboardView:
    items = content.panels[view.focus]
    if not items:
        return view
    at = min(max(0, cursor(view, view.focus, content) + by), len(items) - 1)
    return replace(view, chosen={**view.chosen, view.focus: items[at].key})
