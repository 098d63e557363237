"""Example contents of the dashboard, at a fixed time."""

from __future__ import annotations

from dataclasses import replace

from learnd.control.dispatch.plugin_strikes import Strike
from learnd.control.dispatch.progress_file import JobProgress
from learnd.control.files.lock import Holder
from learnd.control.journal.journal import WorkerRow
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.messages.task import TaskState
from learnd.messages.worker import Hello
from learnd.ui.dashboard.journal_reader import Facts, JournalRow, VersionPoint
from learnd.ui.dashboard.panels import EMPTY, ScreenContent, build_content

NOW = 1_800_000_000.0
HOLDER = Holder(4242, "host", NOW - 11_537)
PLUGINS = (
    PluginInfo("protonet", "built-in", PluginState.OK, summary="nearest class mean in Euclidean distance"),
    PluginInfo("ridge", "built-in", PluginState.OK, summary="a linear head in closed form"),
)


def counts(**found: int) -> dict[str, int]:
    return {state.value: found.get(state.value, 0) for state in TaskState}


def worker(name: str, state: str = "ready", task: str | None = None) -> WorkerRow:
    return WorkerRow(name, state, task, Hello(name, 4243, "lite0-meta", "c0ffee", PLUGINS, {}))


def result(name: str, number: int, accuracy: float | None = 0.97) -> JournalRow:
    low, high = (None, None) if accuracy is None else (accuracy - 0.04, accuracy + 0.02)
    measured = {"accuracy": accuracy, "ci_low": low, "ci_high": high}
    seconds = {"seconds": 0.41, "updated": NOW - 60 * number}
    forgotten = {"flips": number % 3, "compared": 40} if number % 4 == 0 else {"flips": None, "compared": None}
    return {"name": name, "revision": 1, "algorithm": "ridge", "version": number, **measured, **seconds, **forgotten}


def problem(name: str, state: str, reason: str, remedy: str = "") -> JournalRow:
    problems = f'[{{"remedy": "{remedy}"}}]' if remedy else "[]"
    return {"name": name, "state": state, "reason": reason, "problems": problems, "updated": NOW - 300}


def curve(number: int) -> tuple[VersionPoint, ...]:
    return tuple(
        VersionPoint(n, n, 5 * n, 1_500_000 * n, 0.9 + 0.08 * (n % 7) / 7 if n > 1 else 0.85)
        for n in range(1, number + 1)
    )


BUSY = replace(
    EMPTY,
    counts=counts(waiting=1, queued=2, running=2, learned=30),
    workers=(worker("cpu:0", task="birds"), worker("cpu:1", task="trees")),
    running=(
        {"name": "birds", "images": 75, "worker": "cpu:0", "epoch": 31, "started": NOW - 12},
        {"name": "trees", "images": 400, "worker": "cpu:1", "epoch": 32, "started": NOW - 95},
    ),
    queued=(
        {"name": "rocks", "reason": "", "not_before": 0.0},
        {"name": "bugs", "reason": "the worker was killed by SIGKILL, at: embed", "not_before": NOW + 42},
    ),
    waiting=({"name": "arrives", "reason": "still growing: 31 files"},),
    results=tuple(result(f"task {n}", n, None if n == 3 else 0.9 + n / 400) for n in range(1, 31)),
    plugins=PLUGINS,
    wins={"ridge": 21, "protonet": 9},
    curve=curve(30),
    pace=(0.4, 0.5, 0.45),
    watching={"path": "/home/x/tasks", "backend": "inotify"},
    backbone="lite0-meta",
)
ERRORS = replace(
    BUSY,
    counts=counts(queued=2, failed=2, rejected=1, learned=30),
    workers=(worker("cpu:0", "restarting"), worker("cpu:1", "starting")),
    running=(),
    problems=(
        problem("bad", "rejected", "'cats' is the only class", "add another class"),
        problem("broken", "failed", "every algorithm failed: ridge: out of memory\n  try a smaller backbone"),
        problem("esc\x1b[31mape\r\n", "failed", "the worker was killed by SIGKILL (3 attempts)"),
    ),
    plugins=(
        *PLUGINS,
        PluginInfo("mine", "/home/x/mine.py", PluginState.QUARANTINED, "SyntaxError: never closed\n  line 3"),
    ),
    strikes=(Strike("mine", "/home/x/mine.py", "", "killed the worker", NOW - 9, count=2),),
    paused=NOW - 30,
)
MANY = replace(
    BUSY,
    counts=counts(waiting=80, queued=40, running=2, learned=200),
    waiting=tuple({"name": f"folder-{n:03d}", "reason": "not quiet for 2 s yet"} for n in range(80)),
    queued=tuple({"name": f"queue-{n:03d}", "reason": "", "not_before": 0.0} for n in range(40)),
    results=tuple(result(f"task-{n:03d}", n) for n in range(200)),
    curve=curve(200),
    accuracies_now=tuple(0.6 + 0.4 * (n % 9) / 9 for n in range(24)),
    joins=3,
)
BIRDS = "鳥類と植物の写真の分類、二〇二六年の秋"
LONG = "a-very-long-name-of-a-task-that-somebody-made-of-a-whole-sentence-" * 3
NAMES = replace(
    BUSY,
    workers=(worker("cuda:0", task=BIRDS), worker("cuda:1", task=LONG)),
    running=(
        {"name": BIRDS, "images": 75, "worker": "cpu:0", "epoch": 31, "started": NOW - 12},
        {"name": LONG, "images": 400, "worker": "cpu:1", "epoch": 32, "started": NOW - 95},
    ),
    results=tuple(result(name, 1) for name in ("鳥", "한국어 새들", LONG, "naïve œuvre", "\u202eevil")),
    waiting=({"name": "漢字" * 30, "reason": "まだ増えています"},),
    watching={"path": "/home/" + "深い/" * 40, "backend": "polling"},
)
FACTS = {"empty": EMPTY, "busy": BUSY, "errors": ERRORS, "many": MANY, "names": NAMES}
PROGRESS = (JobProgress("cpu:0", 31, "embed", 30, 75), JobProgress("cpu:1", 32, "route finetune", 4, 8, "finetune"))


def scene(facts: Facts) -> ScreenContent:
    return build_content(facts, None if facts is EMPTY else HOLDER, PROGRESS, "/home/x/tasks", NOW)
