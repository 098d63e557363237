"""A board and a view as lines of a terminal: what stands where, at every size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from learnd.ui.dashboard.board import Board, Panel
from learnd.ui.dashboard.keys import DashboardView, Do, cursor
from learnd.ui.dashboard.symbols import Looks, columns, style
from learnd.ui.views.wording import counted

SMALLEST = (40, 10)  # columns, lines: below either of them there is one line
WIDE = 120  # columns: from here on two panels stand side by side
LEFT = (Panel.DEVICES, Panel.RUNNING, Panel.WAITING, Panel.RESULTS)
RIGHT = (Panel.PROBLEMS, Panel.PLUGINS)
_FIRST = (Panel.RUNNING, Panel.PROBLEMS, Panel.DEVICES, Panel.RESULTS, Panel.WAITING, Panel.PLUGINS)  # to get room
_HINTS = "q leave  ? help  Tab panel  / filter  Enter details  p pause  r retry  l log  s SVG"
_QUESTIONS = {
    Do.PAUSE: "Pause? No new job begins; those in hand are finished.",
    Do.RESUME: "Resume? Jobs begin again.",
    Do.RETRY: "Retry {}?",
    Do.QUIT: "Stop the daemon? Work in hand is taken up again at the next start.",
}


def frame(board: Board, view: DashboardView, size: tuple[int, int], looks: Looks) -> list[Text]:
    """size: (columns, lines).  As many lines, each as wide as the screen at most."""
    width, height = size
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return [_one_line(board, view, width, looks)]
    head, foot = _head(board, width, looks), _foot(view, width, looks)
    room = height - len(head) - 1
    body = _page(view, width, room, looks) if view.page else _panels(board, view, width, room, looks)
    blank = Text(" " * width)
    return [*head, *body[:room], *[blank] * (room - len(body)), foot]


def _panels(board: Board, view: DashboardView, width: int, room: int, looks: Looks) -> list[Text]:
    if width < WIDE:
        return list(_stack(board, view, (*LEFT, *RIGHT), width, room, looks))
    left = width * 11 // 20
    curve = _curve(board, width - left - 2, looks)
    one = list(_stack(board, view, LEFT, left, room, looks))
    other = [*curve, *_stack(board, view, RIGHT, width - left - 2, room - len(curve), looks)]
    gap, lines = Text("  "), []
    for at in range(max(len(one), len(other))):
        first = one[at] if at < len(one) else Text(" " * left)
        lines.append(Text.assemble(first, gap, other[at] if at < len(other) else ""))
    return lines


def _stack(
    board: Board, view: DashboardView, panels: Sequence[Panel], width: int, room: int, looks: Looks
) -> Iterator[Text]:
    """One below the other: every panel has its title, and rows as there is room, the one in focus first."""
    rows = _share(board, view, panels, room)
    for panel in panels:
        if panel in rows:
            yield _title(board, view, panel, width, looks)
            yield from _rows(board, view, panel, width, rows[panel], looks)


def _share(board: Board, view: DashboardView, panels: Sequence[Panel], room: int) -> dict[Panel, int]:
    """How many rows each panel gets; those that are left out have not even room for a title."""
    order = [panel for panel in (view.focus, *_FIRST) if panel in panels]
    order = list(dict.fromkeys(order))[:room]
    left, rows = room - len(order), dict.fromkeys(order, 0)
    wanted = {panel: len(board.panels[panel]) for panel in order}
    for most in (3, 6, 10**9):  # each a few before any has many
        for panel in order:
            more = min(min(wanted[panel], most) - rows[panel], left)
            rows[panel] += max(0, more)
            left -= max(0, more)
    return rows


def _title(board: Board, view: DashboardView, panel: Panel, width: int, looks: Looks) -> Text:
    focused = panel == view.focus
    name = f"{looks.cursor if focused else looks.rule} {panel.value} {board.totals[panel]:,} "
    line = Text(no_wrap=True)
    line.append(looks.cut(name, min(cell_len(name), width)), "bold" if focused else "")
    line.append(looks.rule * (width - len(line)), "" if focused else "dim")
    return line


def _rows(board: Board, view: DashboardView, panel: Panel, width: int, count: int, looks: Looks) -> list[Text]:
    items, at = board.panels[panel], cursor(view, panel, board)
    top = min(max(0, at - count // 2), max(0, len(items) - count))
    shown = items[top : top + count]
    bars = [item.share is not None and width >= 80 for item in shown]
    lines = columns([item.cells for item in shown], width - 2 - (12 if any(bars) else 0), looks)
    found = []
    for number, (item, line) in enumerate(zip(shown, lines, strict=True), start=top):
        here = panel == view.focus and number == at
        whole = Text.assemble(f"{looks.cursor if here else ' '} ", line, no_wrap=True)
        if item.share is not None and width >= 80:
            whole.append(f"  {looks.bar(item.share, 10)}", style("running"))
        if here:
            whole.stylize("reverse")
        found.append(whole)
    return found


def _head(board: Board, width: int, looks: Looks) -> list[Text]:
    since = f" {board.since}" if board.since else ""
    state = f"{looks.sign(board.state)} {board.state}{since}"
    parts = [
        (f"learnd {looks.plain(state)}", f"bold {style(board.state)}"),
        (looks.plain(board.knowledge), ""),
        (f"watching {looks.plain(board.watching)}", ""),
        (", ".join(f"{count:,} {name}" for name, count in board.counts) or "no task yet", ""),
    ]
    if width < WIDE and (accuracies := _accuracies(board)):
        parts.append((f"accuracy when learnt {accuracies[-1]:.3f}", ""))
    lines, left = [Text(no_wrap=True)], width
    for text, looking in parts:
        if len(lines[-1]) and cell_len(text) + 3 > left:
            lines.append(Text(no_wrap=True))
            left = width
        if len(lines[-1]):
            lines[-1].append("   ")
            left -= 3
        text = looks.cut(text, min(cell_len(text), left))
        lines[-1].append(text, looking)
        left -= cell_len(text)
    return lines


def _accuracies(board: Board) -> list[float]:
    return [moment.accuracy for moment in board.curve if moment.accuracy is not None]


def _curve(board: Board, width: int, looks: Looks) -> list[Text]:
    """Knowledge over time, a version a cell; and how each task is told among everything now, a task a cell."""
    title = f"{looks.rule} knowledge over time "
    head = Text.assemble(title, (looks.rule * (width - len(title)), "dim"))
    accuracies = _accuracies(board)
    if not accuracies:
        return [head, Text(looks.cut("  nothing is measured yet", width), "dim")]
    lines = [head]
    classes = [float(moment.classes) for moment in board.curve]
    strips = [("accuracy", accuracies, ".3f"), ("classes", classes, ",.0f")]
    strips += [("tasks now", list(board.told), ".3f")] if board.told else []  # a task a cell: the last row of R
    for what, values, form in strips:
        shown = values[-max(1, width - 36) :]
        said = f"  {what:<9}{min(shown):>8{form}} to {max(shown):>8{form}}  "
        drawn = looks.sparkline(shown, width - cell_len(said))
        line = Text.assemble(said, (drawn, "green"))
        line.append(" " * max(0, width - line.cell_len))
        lines.append(line)
    if board.joins:
        said = f"  {counted(board.joins, 'join')} suggested: learnd alias lists them"
        lines.append(Text(looks.cut(said, width), "dim"))
    return lines


def _page(view: DashboardView, width: int, room: int, looks: Looks) -> list[Text]:
    assert view.page is not None
    title = f"{looks.cursor} {looks.plain(view.page.title)} "
    lines = [Text(looks.cut(title + looks.rule * max(0, width - cell_len(title)), width), "bold")]
    for line in view.page.lines[view.page.top :][: room - 1]:
        lines.append(Text(looks.cut(looks.plain(line), width)))
    return lines


def _foot(view: DashboardView, width: int, looks: Looks) -> Text:
    if view.asked is not None:
        question = _QUESTIONS[view.asked.do].format(view.asked.what)
        return Text(looks.cut(looks.plain(f"{question}  y: yes, any other key: no"), width), "bold reverse")
    if view.typing:
        return Text(looks.cut(looks.plain(f"/{view.filter}_  Enter: keep, Esc: show all"), width), "bold")
    if view.message:
        return Text(looks.cut(looks.plain(view.message), width), "bold")
    said = f"only names with {view.filter!r}: Esc shows all  " if view.filter else ""
    return Text(looks.cut(looks.plain(said + ("readonly  " if view.readonly else "") + _HINTS), width), "dim")


def _one_line(board: Board, view: DashboardView, width: int, looks: Looks) -> Text:
    if view.asked is not None or view.typing or view.message:
        return _foot(view, width, looks)
    counts = " ".join(f"{looks.sign(name)}{count} {name}" for name, count in board.counts)
    return Text(looks.cut(looks.plain(f"{looks.sign(board.state)} {board.state} {counts}"), width))
