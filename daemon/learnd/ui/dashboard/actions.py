"""What somebody asked the dashboard to do: it opens the journal for writing for that moment alone."""

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

_TAIL = 64_000  # bytes of a log
_EVENTS = 200


def carry_out(
    action: Action, view: DashboardView, settings: Settings, shown: Sequence[Text], size: tuple[int, int]
) -> DashboardView:
    """The view afterwards, with a page to read or a word on what was done.  shown: what is on the screen."""
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
        return f"{action.what} is to be tried again"


def _details(settings: Settings, task: str, width: int) -> tuple[str, ...]:
    with closing(Journal(settings.state / JOURNAL, readonly=True)) as journal:
        data = json_output.task(settings, journal, task)
    paper = Console(width=width, file=io.StringIO(), markup=False, highlight=False, emoji=False, color_system=None)
    with paper.capture() as captured:
        paper.print(*text_output.task(data), sep="\n")
    return tuple(captured.get().splitlines())


def _log(settings: Settings, device: str) -> TextPage:
    """The log of a device's worker, or what happened last; from its end."""
    if device:
        path = settings.state / "logs" / f"worker-{device.replace(':', '-')}.log"
        text = path.read_bytes()[-_TAIL:].decode(errors="replace")
        lines = tuple(printable(one) for one in text.splitlines()) or ("it is empty",)
        return TextPage(str(path), lines, max(0, len(lines) - 10))
    with closing(Journal(settings.state / JOURNAL, readonly=True)) as journal:
        events = journal.db.events(_EVENTS)
    return TextPage("what happened, the newest first", tuple(line(event, as_json=False) for event in reversed(events)))


def svg(shown: Sequence[Text], size: tuple[int, int]) -> str:
    """What is on the screen as an SVG document."""
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
