"""Back and forward, and never having learnt: the answers and the files, to the byte."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learnd.control.knowledge import result_check
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.jobs.learn import learn
from learnd.learning.jobs.predict import predict
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.messages.convert import to_json_all
from learnd.messages.task import TaskOptions, TaskState
from learnd_plugins.protonet import ProtoNet
from learnd_plugins.ridge import Ridge
from learnd_plugins.slda import SLDA
from tests.control.home import Home
from tests.e2e.conftest import MakeTask
from tests.learning.specs import learn_spec, predict_spec
from tests.learning.worker_contexts import worker_context
from tests.live import LiveDaemon
from tests.patience import PATIENCE

ALGORITHMS: dict[str, Algorithm] = {"a": ProtoNet(), "b": Ridge(), "c": SLDA()}
CLOCK = ("seconds", "stages")  # of a report: how long it took that day


class School(Home):
    """A state whose tasks are really learnt, in this process, each with an algorithm of its own."""

    def __init__(self, state: Path, worker: WorkerContext, lessons: Path) -> None:
        state.mkdir(parents=True)
        super().__init__(state)
        self._bench = worker
        self._lessons = lessons

    def teach(self, name: str) -> None:
        held = self.lease(name, f"digest of {name}")
        out = self.state / "work" / f"{held.job}-{held.epoch}" / "out"
        options = TaskOptions(algorithm=ALGORITHMS[name].name)
        spec = replace(learn_spec(self._lessons / name, out, options, name), id=name)
        outcome = learn(spec, self._bench, lambda *_: None)
        self.generations.commit(held, result_check.check(out, outcome), outcome, out)

    def timeless(self) -> dict[str, Any]:
        """The files of the knowledge; of the reports, all that does not come from a clock."""
        return {path: _timeless(data) if path.endswith(".json") else data for path, data in self.knowledge().items()}

    def answers(self, images: list[Path]) -> str:
        """Of every task on its own, and of all at once."""
        members = list(self.generations.members())
        specs = [
            predict_spec(images, members, self.state / "work", task) for task in (None, *(one.name for one in members))
        ]
        return json.dumps([to_json_all(predict(spec, self._bench, lambda *_: None).predictions) for spec in specs])


def _timeless(report: bytes) -> Any:
    said = json.loads(report)
    candidates = [{key: value for key, value in one.items() if key not in CLOCK} for one in said["candidates"]]
    return {key: value for key, value in said.items() if key not in CLOCK} | {"candidates": candidates}


@pytest.mark.slow
def test_learnt_in_any_order_and_then_forgotten_is_never_learnt_to_the_byte(
    make_task: MakeTask, digits: Path, tmp_path: Path
) -> None:
    lessons = [make_task(name, first=2 * number, shots=4) for number, name in enumerate("abc")]
    images = sorted((digits / "held-out").rglob("*.png"))[:6]
    room = worker_context(tmp_path, *ALGORITHMS.values())
    never = School(tmp_path / "never", room, lessons[0].parent)
    for name in "ac":
        never.teach(name)

    for order in itertools.permutations("abc"):
        school = School(tmp_path / "".join(order), room, lessons[0].parent)
        for name in order:
            school.teach(name)
        assert school.answers(images) != never.answers(images)
        school.generations.forget("b")
        assert school.timeless() == never.timeless()
        assert school.files() == never.files()
        assert school.answers(images) == never.answers(images)
        school.journal.close()


@pytest.mark.e2e
@pytest.mark.slow
def test_a_daemon_goes_back_and_forward_and_forgets_while_it_runs(
    make_task: MakeTask, digits: Path, tmp_path: Path
) -> None:
    settings = {"watch__quiet_seconds": "0.3", "routing__budget_seconds": "1", "worker__job_seconds": "600"}
    images = sorted((digits / "held-out").rglob("*.png"))[:4]
    with LiveDaemon(tmp_path / "home", "conv4", **settings) as live:
        live.start_warm(timeout=PATIENCE)
        answers: list[Any] = []
        for number, name in enumerate("ab"):
            subprocess.run(["mv", make_task(name, first=4 * number, shots=4), live.tasks], check=True)
            live.wait_learned([name], timeout=PATIENCE)
            answers.append(_predictions(live, images))

        assert live.json("rollback", "1")["undone"] == ["b"]
        assert _predictions(live, images) == answers[0]
        assert live.json("rollback", "2")["restored"] == ["b"]
        assert _predictions(live, images) == answers[1]
        assert live.json("forget", "b", "--yes")["version"] == 5
        assert _predictions(live, images) == answers[0]
        live.kill()

        live.start_warm(timeout=PATIENCE)
        assert [(row.name, row.state) for row in live.rows()] == [
            ("a", TaskState.LEARNED),
            ("b", TaskState.FORGOTTEN),
        ]
        assert live.run("retry", "b").returncode == 0
        live.wait_state("b", TaskState.LEARNED, revision=2, timeout=PATIENCE)
        assert _predictions(live, images) == answers[1]


def _predictions(live: LiveDaemon, images: list[Path]) -> Any:
    return live.json("predict", *images, timeout=PATIENCE)["predictions"]
