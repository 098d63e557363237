"""A home folder to give commands in, and a state in which every kind of task is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.journal.queue import Lease
from learnd.control.journal.tasks import Content
from learnd.control.knowledge.generations import Generations
from learnd.identity import task_id
from learnd.messages.convert import to_json
from learnd.messages.jobs import JobSpec
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.messages.report import CandidateScore, Report
from learnd.messages.task import Problem, TaskState
from learnd.messages.worker import Hello, WorkerState
from learnd.ui.cli import main
from tests.control.archives import packed
from tests.control.candidates import candidate

TRACEBACK = "SyntaxError: never closed (mine.py, line 3)\n  File 'mine.py', line 3\n    def broken(:"
PLUGINS = (
    PluginInfo(
        "ridge", "built-in", PluginState.OK, summary="a linear head", options={"strength": 1.0, "normalise": True}
    ),
    PluginInfo("mine", "/home/x/plugins/mine.py", PluginState.QUARANTINED, TRACEBACK),
)


@dataclass(frozen=True)
class Said:
    """What one command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code in (0, 1), self.err
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def learnd(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """learnd("tasks", "--json") runs the command in the home folder."""

    def run(*arguments: str | Path) -> Said:
        capsys.readouterr()
        given = [str(argument) for argument in arguments]
        monkeypatch.setattr("sys.argv", ["learnd", *given])
        code = main(given)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def state(home: Path) -> Path:
    """The state of a daemon that was killed while it learnt "now"; it knows a task in every other state, too."""
    folder = home / "state"
    folder.mkdir()
    journal = Journal(folder / JOURNAL, create=True)
    fill(journal, folder)
    journal.close()
    return folder


def fill(journal: Journal, folder: Path) -> None:
    learn(journal, folder, "birds")
    journal.put("backbone", "conv4")
    journal.put("plugins", json.dumps([to_json(plugin) for plugin in PLUGINS]))
    queue(journal, "bugs")
    journal.jobs.give_up(lease(journal), "died", "the worker was killed by SIGKILL (3 attempts)", "out of memory\n")
    bad = Problem("one-class", ".", "'cats' is the only class", "add another class")
    mark(journal, "bad", TaskState.REJECTED, "'cats' is the only class", problems=(bad,))
    mark(journal, "grows", TaskState.WAITING, "still growing: 3 files")
    mark(journal, "twin", TaskState.DUPLICATE, "the same content as birds")
    queue(journal, "birds", digest="other")  # revision 2
    journal.tasks.skip("birds")
    queue(journal, "now")
    lease(journal)
    queue(journal, "next")
    journal.set_worker("cpu:0", WorkerState.READY, Hello("cpu:0", 1, "conv4", "c0ffee", PLUGINS, {"torch": "2"}))


def mark(journal: Journal, name: str, verdict: TaskState, reason: str, **more: Any) -> None:
    journal.tasks.decline(task_id(name), name, verdict, reason, Content("f", **more))


def queue(journal: Journal, name: str, digest: str = "") -> None:
    journal.jobs.accept(task_id(name), name, Content("f", digest or name, ways=5, images=75), JobSpec(name))


def lease(journal: Journal) -> Lease:
    found = journal.jobs.lease("cpu:0")
    assert found is not None
    return found


def learn(journal: Journal, folder: Path, name: str, **said: str) -> None:
    """A task that is learnt, with 1.5 MB of files; said: in its task.yaml."""
    queue(journal, name)
    held = lease(journal)
    report = replace(report_of(held), **said)  # type: ignore[arg-type]
    generations = Generations(folder, journal)
    generations.prepare()
    out = generations.work / "1" / "out"
    generations.commit(held, report, candidate(out, report, exemplars_zip=packed({"a": 1}, size=1_500_000)), out)


def report_of(held: Lease) -> Report:
    """What a worker would have reported."""
    scores = (
        CandidateScore("ridge", 0.8, "closed form", 0.01, "chosen", "73 of 75 right", 0.97, 0.02),
        CandidateScore("finetune", 0.5, "many images", 9.0, "over budget"),
    )
    return Report(
        task=held.name,
        id=held.id,
        revision=held.revision,
        digest=held.digest,
        classes=("a", "b", "c", "d", "e"),
        images=75,
        queries=0,
        algorithm="ridge",
        candidates=scores,
        accuracy=0.97,
        accuracy_ci=(0.93, 0.99),
        measured_on="cross-validation",
        measured_images=75,
        transductive=False,
        backbone="conv4",
        backbone_hash="c0ffee",
        device="cpu",
        seed=1,
        seconds=0.41,
    )
