"""Where the panels, the head and the key hints stand on a screen of any size: the content as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from learnd.ui.dashboard.keys import ActionKind, DashboardView, cursor
from learnd.ui.dashboard.panels import Panel, ScreenContent
from learnd.ui.dashboard.symbols import SymbolSet, columns, style
from learnd.ui.views.formatting import counted

SMALLEST = (40, 10)  # columns, lines: a smaller screen shows a single line
WIDE = 120  # columns: from this width on, panels stand side by side
LEFT = (Panel.DEVICES, Panel.RUNNING, Panel.WAITING, Panel.RESULTS)
RIGHT = (Panel.PROBLEMS, Panel.PLUGINS)
# The order in which panels get rows.
_FIRST = (Panel.RUNNING, Panel.PROBLEMS, Panel.DEVICES, Panel.RESULTS, Panel.WAITING, Panel.PLUGINS)
_HINTS = "q quit  ? help  Tab panel  / filter  Enter details  p pause  r retry  l log  s SVG"
_QUESTIONS = {
    ActionKind.PAUSE: "Pause? No new jobs start; running jobs finish.",
    ActionKind.RESUME: "Resume? Queued jobs start again.",
    ActionKind.RETRY: "Retry {}?",
    ActionKind.QUIT: "Stop the daemon? Unfinished jobs continue at the next start.",
}


def lay_out(content: ScreenContent, view: DashboardView, size: tuple[int, int], symbols: SymbolSet) -> list[Text]:
    """Return the lines of the screen, none wider than it.  size: (columns, lines)."""
    width, height = size
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return [_one_line(content, view, width, symbols)]
    head, foot = _head(content, width, symbols), _foot(view, width, symbols)
    room = height - len(head) - 1
    body = _page(view, width, room, symbols) if view.text_page else _panels(content, view, width, room, symbols)
    blank = Text(" " * width)
    return [*head, *body[:room], *[blank] * (room - len(body)), foot]


def _panels(content: ScreenContent, view: DashboardView, width: int, room: int, symbols: SymbolSet) -> list[Text]:
    if width < WIDE:
        return list(_stack(content, view, (*LEFT, *RIGHT), width, room, symbols))
    left = width * 11 // 20
    curve = _curve(content, width - left - 2, symbols)
    one = list(_stack(content, view, LEFT, left, room, symbols))
    other = [*curve, *_stack(content, view, RIGHT, width - left - 2, room - len(curve), symbols)]
    gap, lines = Text("  "), []
    for at in range(max(len(one), len(other))):
        first = one[at] if at < len(one) else Text(" " * left)
        lines.append(Text.assemble(first, gap, other[at] if at < len(other) else ""))
    return lines


def _stack(
    content: ScreenContent, view: DashboardView, panels: Sequence[Panel], width: int, room: int, symbols: SymbolSet
) -> Iterator[Text]:
    """Panels below each other, each with its title and its share of the rows."""
    rows = _share(content, view, panels, room)
    for panel in panels:
        if panel in rows:
            yield _title(content, view, panel, width, symbols)
            yield from _rows(content, view, panel, width, rows[panel], symbols)


def _share(content: ScreenContent, view: DashboardView, panels: Sequence[Panel], room: int) -> dict[Panel, int]:
    """Return how many rows each panel gets, the focused one first.  A panel without room for its title is absent."""
    order = [panel for panel in (view.focus, *_FIRST) if panel in panels]
    order = list(dict.fromkeys(order))[:room]
    left, rows = room - len(order), dict.fromkeys(order, 0)
    wanted = {panel: len(content.panels[panel]) for panel in order}
    for most in (3, 6, 10**9):  # every panel gets a few rows before any gets many
        for panel in order:
            more = min(min(wanted[panel], most) - rows[panel], left)
            rows[panel] += max(0, more)
            left -= max(0, more)
    return rows


def _title(content: ScreenContent, view: DashboardView, panel: Panel, width: int, symbols: SymbolSet) -> Text:
    focused = panel == view.focus
    name = f"{symbols.cursor if focused else symbols.rule} {panel.value} {content.totals[panel]:,} "
    line = Text(no_wrap=True)
    line.append(symbols.cut(name, min(cell_len(name), width)), "bold" if focused else "")
    line.append(symbols.rule * (width - len(line)), "" if focused else "dim")
    return line


def _rows(
    content: ScreenContent, view: DashboardView, panel: Panel, width: int, count: int, symbols: SymbolSet
) -> list[Text]:
    items, at = content.panels[panel], cursor(view, panel, content)
    top = min(max(0, at - count // 2), max(0, len(items) - count))
    shown = items[top : top + count]
    bars = [item.share is not None and width >= 80 for item in shown]
    lines = columns([item.cells for item in shown], width - 2 - (12 if any(bars) else 0), symbols)
    found = []
    for number, (item, line) in enumerate(zip(shown, lines, strict=True), start=top):
        here = panel == view.focus and number == at
        whole = Text.assemble(f"{symbols.cursor if here else ' '} ", line, no_wrap=True)
        if item.share is not None and width >= 80:
            whole.append(f"  {symbols.bar(item.share, 10)}", style("running"))
        if here:
            whole.stylize("reverse")
        found.append(whole)
    return found


def _head(content: ScreenContent, width: int, symbols: SymbolSet) -> list[Text]:
    since = f" {content.since}" if content.since else ""
    state = f"{symbols.sign(content.state)} {content.state}{since}"
    parts = [
        (f"learnd {symbols.plain(state)}", f"bold {style(content.state)}"),
        (symbols.plain(content.knowledge), ""),
        (f"watching {symbols.plain(content.watching)}", ""),
        (", ".join(f"{count:,} {name}" for name, count in content.counts) or "no tasks yet", ""),
    ]
    if width < WIDE and (accuracies := _accuracies(content)):
        parts.append((f"accuracy when learnt {accuracies[-1]:.3f}", ""))
    lines, left = [Text(no_wrap=True)], width
    for text, looking in parts:
        if len(lines[-1]) and cell_len(text) + 3 > left:
            lines.append(Text(no_wrap=True))
            left = width
        if len(lines[-1]):
            lines[-1].append("   ")
            left -= 3
        text = symbols.cut(text, min(cell_len(text), left))
        lines[-1].append(text, looking)
        left -= cell_len(text)
    return lines


def _accuracies(content: ScreenContent) -> list[float]:
    return [point.accuracy for point in content.curve if point.accuracy is not None]


def _curve(content: ScreenContent, width: int, symbols: SymbolSet) -> list[Text]:
    """Sparklines of accuracy and classes, one cell per version; and of today's accuracies, one cell per task."""
    title = f"{symbols.rule} knowledge over time "
    head = Text.assemble(title, (symbols.rule * (width - len(title)), "dim"))
    accuracies = _accuracies(content)
    if not accuracies:
        return [head, Text(symbols.cut("  nothing measured yet", width), "dim")]
    lines = [head]
    classes = [float(point.classes) for point in content.curve]
    strips = [("accuracy", accuracies, ".3f"), ("classes", classes, ",.0f")]
    if content.accuracies_now:  # one cell per task: the last row of the accuracy matrix
        strips.append(("per task", list(content.accuracies_now), ".3f"))
    for what, values, form in strips:
        shown = values[-max(1, width - 36) :]
        said = f"  {what:<9}{min(shown):>8{form}} to {max(shown):>8{form}}  "
        drawn = symbols.sparkline(shown, width - cell_len(said))
        line = Text.assemble(said, (drawn, "green"))
        line.append(" " * max(0, width - line.cell_len))
        lines.append(line)
    if content.joins:
        said = f"  {counted(content.joins, 'suggested join')}: learnd alias lists them"
        lines.append(Text(symbols.cut(said, width), "dim"))
    return lines


def _page(view: DashboardView, width: int, room: int, symbols: SymbolSet) -> list[Text]:
    assert view.text_page is not None
    title = f"{symbols.cursor} {symbols.plain(view.text_page.title)} "
    lines = [Text(symbols.cut(title + symbols.rule * max(0, width - cell_len(title)), width), "bold")]
    for line in view.text_page.lines[view.text_page.top :][: room - 1]:
        lines.append(Text(symbols.cut(symbols.plain(line), width)))
    return lines


def _foot(view: DashboardView, width: int, symbols: SymbolSet) -> Text:
    if view.asked is not None:
        question = _QUESTIONS[view.asked.do].format(view.asked.what)
        return Text(symbols.cut(symbols.plain(f"{question}  y: yes, any other key: no"), width), "bold reverse")
    if view.typing:
        typed = f"/{view.filter}_  Enter: keep the filter, Esc: clear it"
        return Text(symbols.cut(symbols.plain(typed), width), "bold")
    if view.message:
        return Text(symbols.cut(symbols.plain(view.message), width), "bold")
    said = f"filter {view.filter!r}: Esc clears it  " if view.filter else ""
    return Text(symbols.cut(symbols.plain(said + ("read-only  " if view.readonly else "") + _HINTS), width), "dim")


def _one_line(content: ScreenContent, view: DashboardView, width: int, symbols: SymbolSet) -> Text:
    if view.asked is not None or view.typing or view.message:
        return _foot(view, width, symbols)
    counts = " ".join(f"{symbols.sign(name)}{count} {name}" for name, count in content.counts)
    return Text(symbols.cut(symbols.plain(f"{symbols.sign(content.state)} {content.state} {counts}"), width))
