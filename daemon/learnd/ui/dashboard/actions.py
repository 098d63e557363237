"""Do what a key asked for: pause, retry, show a log, save an SVG.  Only then is the journal open for writing."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.errors import LearndError
from learnd.identity import printable
from learnd.settings.keys import Settings
from learnd.ui.dashboard.keys import Action, ActionKind, DashboardView, TextPage
from learnd.ui.dashboard.without_terminal import line
from learnd.ui.views import json_output, text_output
from learnd.ui.views.console import lines

_TAIL = 64_000  # bytes of a log that are shown
_EVENTS = 200


def carry_out(
    action: Action, view: DashboardView, settings: Settings, shown: Sequence[Text], size: tuple[int, int]
) -> DashboardView:
    """Return the view afterwards, with a page to read or a message.  shown: the lines on the screen."""
    try:
        if action.do == ActionKind.DETAILS:
            return replace(view, text_page=TextPage(action.what, _details(settings, action.what, size[0])))
        if action.do == ActionKind.LOG:
            return replace(view, text_page=_log(settings, action.what))
        if action.do == ActionKind.SVG:
            place = Path(time.strftime("learnd-%Y%m%d-%H%M%S.svg")).absolute()
            place.write_text(svg(shown, size), encoding="utf-8")
            return replace(view, message=f"wrote {place}")
        return replace(view, message=_change(action, settings))
    except LearndError as error:
        return replace(view, message=f"error: {error.what}" + (f" -> {error.remedy}" if error.remedy else ""))
    except OSError as error:
        return replace(view, message=f"error: {error.filename}: {error.strerror}")


def _change(action: Action, settings: Settings) -> str:
    with closing(Journal(settings.state / JOURNAL)) as journal:
        if action.do == ActionKind.PAUSE:
            journal.pause()
            return "paused"
        if action.do == ActionKind.RESUME:
            journal.resume()
            return "resumed"
        journal.tasks.retry(action.what)
        return f"{action.what} will be tried again"


def _details(settings: Settings, task: str, width: int) -> tuple[str, ...]:
    with closing(Journal(settings.state / JOURNAL, readonly=True)) as journal:
        data = json_output.task(settings, journal, task)
    paper = Console(width=width, file=io.StringIO(), markup=False, highlight=False, emoji=False, color_system=None)
    return tuple(lines(paper, *text_output.task(data)))


def _log(settings: Settings, device: str) -> TextPage:
    """The end of the log of a device's worker; without a device, the last events."""
    if device:
        path = settings.state / "logs" / f"worker-{device.replace(':', '-')}.log"
        text = path.read_bytes()[-_TAIL:].decode(errors="replace")
        lines = tuple(printable(one) for one in text.splitlines()) or ("(empty)",)
        return TextPage(str(path), lines, max(0, len(lines) - 10))
    with closing(Journal(settings.state / JOURNAL, readonly=True)) as journal:
        events = journal.db.events(_EVENTS)
    return TextPage("events, newest first", tuple(line(event, as_json=False) for event in reversed(events)))


def svg(shown: Sequence[Text], size: tuple[int, int]) -> str:
    """Return the screen as an SVG document."""
    paper = Console(
        width=size[0],
        height=max(1, len(shown)),
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    for text in shown:
        paper.print(text, overflow="crop", no_wrap=True, crop=True)
    return paper.export_svg(title="learnd", unique_id="learnd")
