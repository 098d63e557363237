"""What each panel of the dashboard says: a pure function of the journal, the workers' progress and the clock."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from learnd.control.dispatch.progress_file import JobProgress
from learnd.control.files.lock import Holder
from learnd.control.journal.journal import WorkerRow
from learnd.identity import printable
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.ui.dashboard.journal_reader import Facts, JournalRow, VersionPoint
from learnd.ui.views.formatting import counted, first_line, one_line, size


class DaemonState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Panel(StrEnum):
    """In the order of the Tab key.  The values are the titles."""

    DEVICES = "devices"
    RUNNING = "running"
    WAITING = "waiting"
    RESULTS = "results"
    PROBLEMS = "problems"
    PLUGINS = "plugins"


@dataclass(frozen=True)
class PanelRow:
    """A line of a panel.  cells: (text, state that colours it); the last cell takes the remaining width.

    key: unique in its panel; task: the task that it is about; share: how full the progress bar is, in [0, 1].
    """

    key: str
    cells: tuple[tuple[str, str], ...]
    task: str | None = None
    share: float | None = None


@dataclass(frozen=True)
class ScreenContent:
    """Everything that is shown.  totals: how many rows each panel would have if all were read."""

    state: DaemonState
    since: str  # for how long it has been running, "" if it is not
    watching: str
    knowledge: str
    counts: tuple[tuple[str, int], ...]
    panels: dict[Panel, tuple[PanelRow, ...]]
    totals: dict[Panel, int]
    curve: tuple[VersionPoint, ...]
    accuracies_now: tuple[float, ...] = ()
    joins: int = 0


NO_USAGE: Mapping[str, str] = MappingProxyType({})
EMPTY = Facts({}, (), (), (), (), (), (), (), (), {}, (), (), None, None, None)


def build_content(
    facts: Facts,
    holder: Holder | None,
    progress: Sequence[JobProgress],
    tasks: str,
    now: float,
    usage: Mapping[str, str] = NO_USAGE,
) -> ScreenContent:
    """holder: the running daemon; tasks: the folder that a daemon would watch; now: Unix seconds.

    usage: by device, how busy it is and how much memory is in use, as text.
    """
    runs = holder is not None
    watching = facts.watching or {"path": tasks, "backend": "not yet"}
    said = {(one.worker, one.epoch): one for one in progress} if runs else {}
    pace = statistics.median(facts.pace) if facts.pace else None
    lasting = (*_quarantined(facts.plugins), *_restarting(facts, runs))
    problems = (*lasting, *(_problem(row, now) for row in facts.problems))
    waiting = (*(_queued(row, facts, now) for row in facts.queued), *map(_waiting, facts.waiting))
    panels = {
        Panel.DEVICES: tuple(_device(worker, runs, usage) for worker in facts.workers),
        Panel.RUNNING: tuple(_running(row, said, pace, now) for row in facts.running) if runs else (),
        Panel.WAITING: waiting,
        Panel.RESULTS: tuple(_result(row, now) for row in facts.results),
        Panel.PROBLEMS: problems,
        Panel.PLUGINS: tuple(_plugin(plugin, facts) for plugin in facts.plugins),
    }
    totals = {panel: len(items) for panel, items in panels.items()}
    totals[Panel.WAITING] = max(len(waiting), facts.counts.get("waiting", 0) + facts.counts.get("queued", 0))
    totals[Panel.RESULTS] = max(len(facts.results), facts.counts.get("learned", 0))
    totals[Panel.PROBLEMS] = max(len(problems), facts.counts.get("failed", 0) + facts.counts.get("rejected", 0))
    state = DaemonState.RUNNING if facts.paused is None else DaemonState.PAUSED
    return ScreenContent(
        state=state if runs else DaemonState.STOPPED,
        since=duration(now - holder.since) if holder is not None else "",
        watching=f"{printable(watching['path'])} ({watching['backend']})",
        knowledge=_knowledge(facts),
        counts=tuple((name, count) for name, count in facts.counts.items() if count),
        panels=panels,
        totals=totals,
        curve=facts.curve,
        accuracies_now=facts.accuracies_now,
        joins=facts.joins,
    )


def _knowledge(facts: Facts) -> str:
    if not facts.curve:
        return "nothing learnt yet"
    now = facts.curve[-1]
    known = f"{counted(now.classes, 'class', 'classes')} of {counted(now.tasks, 'task')}, {size(now.bytes)}"
    return f"version {now.version}: {known}" + (f", {facts.backbone}" if facts.backbone else "")


def _device(worker: WorkerRow, runs: bool, usage: Mapping[str, str]) -> PanelRow:
    name, task, hello = worker.name, worker.task, worker.hello
    ready = "idle" if worker.state == "ready" else worker.state
    state = "stopped" if not runs else "busy" if task is not None else ready
    held = f"process {hello.pid}, {hello.backbone}" if hello is not None and runs else ""
    kind = name.partition(":")[0]  # all workers on the CPU share it: cpu:0 and cpu:1 are both "cpu"
    full = usage.get(name) or usage.get(kind, "")
    said = ", ".join(part for part in (full, held) if part)
    return PanelRow(name, ((name, ""), (state, state), (printable(task or "") if runs else "", ""), (said, "dim")))


def _running(row: JournalRow, said: dict[tuple[str, int], JobProgress], pace: float | None, now: float) -> PanelRow:
    at = said.get((row["worker"], row["epoch"]))
    stage = f"{at.stage} {at.done}/{at.total}" if at is not None else "starting"
    took = max(0.0, now - row["started"])
    left = None if pace is None else pace * row["images"] - took
    eta = "no estimate yet"
    if left is not None:
        eta = f"about {duration(left)} left" if left > 0 else "taking longer than usual"
    share = at.done / at.total if at is not None and at.total else 0.0
    name = printable(row["name"])
    algorithm = printable(at.algorithm) if at is not None else ""
    stage = stage if algorithm in stage else f"{stage} {algorithm}"
    cells = ((name, ""), (row["worker"], "dim"), (duration(took), ""), (eta, "dim"), (one_line(stage), "running"))
    return PanelRow(name, cells, task=row["name"], share=min(1.0, share))


def _queued(row: JournalRow, facts: Facts, now: float) -> PanelRow:
    wait = row["not_before"] - now
    why = "paused" if facts.paused is not None else "waiting for a free worker"
    if wait > 0:
        why = f"retry in {duration(wait)}"
    why += f" ({one_line(row['reason'])})" if row["reason"] else ""
    return PanelRow(row["name"], ((printable(row["name"]), ""), ("queued", "queued"), (why, "")), task=row["name"])


def _waiting(row: JournalRow) -> PanelRow:
    why = one_line(row["reason"])
    return PanelRow(row["name"], ((printable(row["name"]), ""), ("waiting", "waiting"), (why, "")), task=row["name"])


def _result(row: JournalRow, now: float) -> PanelRow:
    name = printable(row["name"]) + (f" (revision {row['revision']})" if row["revision"] > 1 else "")
    accuracy = "not measured" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
    interval = "" if row["ci_low"] is None else f"[{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    cells = (
        (name, ""),
        ("learned", "learned"),
        (accuracy, ""),
        (interval, "dim"),
        (f"{row['seconds'] or 0.0:.2f} s", ""),
        (_forgotten(row), "dim"),
        (f"{duration(now - row['updated'])} ago", "dim"),
        (printable(row["algorithm"] or ""), ""),
    )
    return PanelRow(f"{row['name']}/{row['revision']}", cells, task=row["name"])


def _forgotten(row: JournalRow) -> str:
    """What it did to the earlier tasks: how many of their surveyed images are classified wrongly since."""
    if not row["compared"]:
        return ""
    return f"forgot {row['flips']}" if row["flips"] else "forgot none"


def _problem(row: JournalRow, now: float) -> PanelRow:
    problems = json.loads(row["problems"])
    remedy = f" -> {problems[0]['remedy']}" if problems else ""
    name, ago = printable(row["name"]), f"{duration(now - row['updated'])} ago"
    cells = ((name, ""), (row["state"], row["state"]), (ago, "dim"), (one_line(row["reason"] + remedy), ""))
    return PanelRow(row["name"], cells, task=row["name"])


def _quarantined(plugins: Sequence[PluginInfo]) -> list[PanelRow]:
    bad = [plugin for plugin in plugins if plugin.state is PluginState.QUARANTINED]
    return [_of_plugin(plugin.name, "quarantined", first_line(plugin.reason)) for plugin in bad]


def _restarting(facts: Facts, runs: bool) -> list[PanelRow]:
    lost = [worker.name for worker in facts.workers if worker.state == "restarting" and runs]
    return [_of_plugin(name, "restarting", "its worker died; a new one starts after a delay") for name in lost]


def _of_plugin(name: str, state: str, why: str) -> PanelRow:
    return PanelRow(f"{state} {name}", ((printable(name), ""), (state, state), ("now", "dim"), (one_line(why), "")))


def _plugin(plugin: PluginInfo, facts: Facts) -> PanelRow:
    strikes = sum(strike.count for strike in facts.strikes if strike.name == plugin.name)
    wins = facts.wins.get(plugin.name, 0)
    said = first_line(plugin.reason) if plugin.state is not PluginState.OK else plugin.summary
    cells = (
        (printable(plugin.name), ""),
        (plugin.state, plugin.state),
        (counted(wins, "win"), "" if wins else "dim"),
        (counted(strikes, "strike") if strikes else "", "warning"),
        (one_line(said), "dim"),
    )
    return PanelRow(plugin.name, cells)


def duration(seconds: float) -> str:
    """For people: "12 s", "4 min", "3 h 05 min", "2 d 4 h"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 60:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
