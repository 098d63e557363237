"""The worker as a process: its protocol holds whatever plugins print, and it never outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from learnd.learning.networks import meta_checkpoints
from learnd.learning.processes.worker import short_of_room
from learnd.messages.convert import from_json, to_json
from learnd.messages.jobs import BackboneSpec, ExportSpec, LearnSpec, PredictSpec, SurveySpec, TaskToSurvey
from learnd.messages.outcomes import Outcome
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.messages.state_files import ADAPTED_FILE, BACKBONE_FILE, EXEMPLARS_FILE, REPORT_FILE
from learnd.messages.task import TaskOptions
from tests.data import omniglot_task, requires_data
from tests.learning.drawn import random_conv4, stripes_task
from tests.learning.specs import learn_spec, member_of, predict_spec
from tests.patience import PATIENCE

pytestmark = pytest.mark.slow  # every test starts a process that imports torch

NOISY = '''
"""A plugin that prints where it must not, and sleeps where it is told to."""
import os, time
from dataclasses import dataclass
from typing import ClassVar
import torch
from learnd.learning.contract.algorithm import Bid, HeadAlgorithm
from learnd.learning.contract.hooks import hookimpl
print("imported")

@dataclass(frozen=True)
class Noisy(HeadAlgorithm):
    name: ClassVar[str] = "noisy"
    summary: ClassVar[str] = "prints"
    seconds: float = 0.0

    def bid(self, task):
        return Bid(0.9, "here", 0.0)

    def fit(self, features, labels, ways, ctx):
        print("fitting")
        os.write(1, b"straight to the descriptor\\n")
        time.sleep(self.seconds)
        return {"means": torch.stack([features[labels == k].mean(0) for k in range(ways)])}

    def score(self, state, features):
        return -torch.cdist(features, state["means"])

@hookimpl
def learnd_algorithms():
    return [Noisy]
'''


class Worker:
    """A worker process and the two ends of its wire."""

    def __init__(
        self,
        folder: Path,
        backbone: BackboneSpec,
        device: str = "cpu",
        barred: Sequence[PluginInfo] = (),
        **options: Any,
    ) -> None:
        self.folder = folder
        plugins = folder / "plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "noisy.py").write_text(NOISY)
        command = [sys.executable, "-m", "learnd.learning.processes.worker", "--device", device, "--index", "3"]
        command += ["--plugins", str(plugins), "--backbone", json.dumps(to_json(backbone))]
        command += ["--options", json.dumps({"noisy": options} if options else {})]
        command += ["--barred", json.dumps([to_json(plugin) for plugin in barred])]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"}
        self.log = folder / "log"
        with open(self.log, "wb") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True
            )

    def messages(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)  # anything but JSON on stdout breaks the protocol, and the test

    def hear(self, key: str) -> Any:
        """Wait for a message of a kind."""
        for message in self.messages():
            if key in message:
                return message[key]
        pytest.fail(f"the worker ended without {key!r}: {self.log.read_text()}")

    def send(self, spec: LearnSpec | PredictSpec | SurveySpec | ExportSpec) -> None:
        assert self.process.stdin is not None
        job = self.folder / "job.json"
        job.write_text(json.dumps({"schema": 1, **to_json(spec)}))
        print(json.dumps({"run": str(job)}), file=self.process.stdin, flush=True)

    def load(self, *barred: PluginInfo) -> Any:
        """Have it load the plugins again; what it says then."""
        assert self.process.stdin is not None
        print(json.dumps({"load": {"barred": [to_json(one) for one in barred]}}), file=self.process.stdin, flush=True)
        return self.hear("loaded")

    def run(self, spec: LearnSpec | PredictSpec | SurveySpec | ExportSpec) -> Outcome:
        self.send(spec)
        result = Path(self.hear("done"))
        assert result == Path(spec.out) / "result.json"
        return from_json(Outcome, json.loads(result.read_text()))

    def close(self) -> int:
        """End its stdin, as a dead daemon does; its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()
        return code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_conv4(tmp_path / "conv4.safetensors")
    return tmp_path


def spec_of(folder: Path) -> BackboneSpec:
    return BackboneSpec("conv4", str(folder / "conv4.safetensors"))


def test_a_working_life(folder: Path) -> None:
    """Hello, learn, predict, export, and a plugin that prints all the while."""
    worker = Worker(folder, spec_of(folder))
    hello = worker.hear("hello")
    assert (hello["device"], hello["backbone"], hello["pid"]) == ("cpu:3", "conv4", worker.process.pid)
    assert {"name": "noisy", "state": "ok"}.items() <= next(p for p in hello["plugins"] if p["name"] == "noisy").items()
    assert set(hello["versions"]) == {"learnd", "python", "torch", "torchvision"}

    spec = learn_spec(stripes_task(folder / "task"), folder / "out")
    outcome = worker.run(spec)
    assert outcome.status == "done", outcome.reason
    assert "straight to the descriptor" in worker.log.read_text()

    images = sorted((folder / "task").rglob("*.png"))
    asked = worker.run(predict_spec(images, [member_of(spec)], folder / "answer"))
    assert len(asked.predictions) == len(images)

    exported = worker.run(ExportSpec(out=str(folder / "export")))
    assert set(exported.files) == {BACKBONE_FILE}
    assert worker.close() == 0

    own = BackboneSpec("conv4", str(folder / "export" / BACKBONE_FILE), hello["backbone_hash"])
    successor = Worker(folder, own)
    assert successor.hear("hello")["backbone_hash"] == hello["backbone_hash"]
    again = successor.run(predict_spec(images, [member_of(spec)], folder / "answer"))
    assert again.predictions == asked.predictions
    assert successor.close() == 0


def test_a_defect_breaks_the_job_and_not_the_worker(folder: Path) -> None:
    worker = Worker(folder, spec_of(folder))
    worker.hear("hello")
    spec = learn_spec(stripes_task(folder / "task"), folder / "out")
    (folder / "out" / ADAPTED_FILE).mkdir()  # the state cannot be written
    outcome = worker.run(spec)
    assert outcome.status == "broken"
    assert "Error" in outcome.reason
    assert worker.run(learn_spec(folder / "task", folder / "second")).status == "done"
    worker.close()


def test_a_plugin_that_raises_what_no_plugin_should_does_not_end_the_worker(folder: Path) -> None:
    """In bid and fit another learns; where it alone is asked, the job has failed and the next one is done."""
    worker = Worker(folder, spec_of(folder))
    worker.hear("hello")
    for rude in ('return Bid(0.9, "here", 0.0)', 'print("fitting")'):
        (folder / "plugins" / "noisy.py").write_text(NOISY.replace(rude, "raise KeyboardInterrupt"))
        worker.load()
        outcome = worker.run(learn_spec(stripes_task(folder / "task"), folder / "other"))
        assert outcome.report is not None, outcome.reason
        (noisy,) = [score for score in outcome.report.candidates if score.algorithm == "noisy"]
        assert (noisy.outcome, noisy.reason) == ("failed", "KeyboardInterrupt")

    (folder / "plugins" / "noisy.py").write_text(NOISY)
    worker.load()
    spec = learn_spec(folder / "task", folder / "out", TaskOptions(algorithm="noisy"))
    assert worker.run(spec).status == "done"
    score = 'return -torch.cdist(features, state["means"])'
    (folder / "plugins" / "noisy.py").write_text(NOISY.replace(score, "raise KeyboardInterrupt"))
    worker.load()
    images = sorted((folder / "task").rglob("*.png"))
    asked = worker.run(predict_spec(images, [member_of(spec)], folder / "answer", spec.name))
    assert (asked.status, asked.reason) == ("broken", "KeyboardInterrupt: ")
    assert worker.run(predict_spec(images, [member_of(spec)], folder / "again")).status == "done"
    worker.close()


@pytest.mark.parametrize("file", [REPORT_FILE, EXEMPLARS_FILE])
def test_a_full_disk_is_not_the_tasks_fault(folder: Path, file: str) -> None:
    worker = Worker(folder, spec_of(folder))
    worker.hear("hello")
    spec = learn_spec(stripes_task(folder / "task"), folder / "out")
    (folder / "out" / file).symlink_to("/dev/full")
    outcome = worker.run(spec)
    assert (outcome.status, "No space left on device" in outcome.reason) == ("no_room", True)
    worker.close()


def test_a_result_that_finds_no_room_is_said_aloud(folder: Path) -> None:
    worker = Worker(folder, spec_of(folder))
    worker.hear("hello")
    spec = learn_spec(stripes_task(folder / "task"), folder / "out")
    (folder / "out" / "result.json").symlink_to("/dev/full")
    worker.send(spec)
    assert "No space left on device" in worker.hear("unwritten")
    assert worker.run(learn_spec(folder / "task", folder / "second")).status == "done"
    worker.close()


def test_safetensors_says_in_words_that_a_disk_is_full() -> None:
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert short_of_room(SafetensorError(said))
    assert not short_of_room(SafetensorError("Error while serializing: I/O error: Is a directory (os error 21)"))
    assert not short_of_room(PermissionError(13, "Permission denied"))


def test_the_plugin_that_ends_the_worker_is_the_last_that_it_names(folder: Path) -> None:
    (folder / "plugins").mkdir()
    evil = folder / "plugins" / "evil.py"
    evil.write_text("import os; os._exit(7)")
    worker = Worker(folder, spec_of(folder))
    *_, last = worker.messages()
    assert last == {"importing": {"name": "evil", "source": str(evil)}}
    assert worker.close() == 7

    barred = PluginInfo("evil", str(evil), PluginState.QUARANTINED, "killed the worker")
    worker = Worker(folder, spec_of(folder), barred=[barred])
    assert to_json(barred) in worker.hear("hello")["plugins"]
    worker.close()


FORKING = """
import os, sys, time
from pathlib import Path
stray = os.fork()
if stray == 0:
    os.setsid()
    time.sleep(120)
    os._exit(0)
Path(__file__).with_suffix(".pid").write_text(str(stray))
os._exit(7)
"""


def test_what_a_plugin_forks_does_not_keep_the_conversation_open(folder: Path) -> None:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "forks.py").write_text(FORKING)
    worker = Worker(folder, spec_of(folder))
    *_, last = worker.messages()  # they end before the stray does
    assert last["importing"]["name"] == "forks"
    os.kill(int((folder / "plugins" / "forks.pid").read_text()), signal.SIGKILL)
    assert worker.close() == 7


def test_it_loads_the_plugins_anew_and_what_is_now_meta_learnt(folder: Path) -> None:
    worker = Worker(folder, spec_of(folder))
    digest = worker.hear("hello")["backbone_hash"]
    noisy, evil = folder / "plugins" / "noisy.py", folder / "plugins" / "evil.py"
    barred = PluginInfo("evil", str(evil), PluginState.QUARANTINED, "killed the worker")
    evil.write_text("import os; os._exit(7)")
    noisy.write_text(NOISY.replace('"noisy"', '"loud"').replace('"here"', '"meta: " + " ".join(task.meta_learnt)'))
    scale = {"log_scale": torch.ones(())}
    (folder / "plugins" / "meta").mkdir()
    meta_checkpoints.write(folder / "plugins" / "meta" / "loud.safetensors", "loud", digest, scale, {}, half=False)
    loaded = worker.load(barred)

    states = {plugin["name"]: plugin["state"] for plugin in loaded["plugins"]}
    assert (states["loud"], states["evil"]) == ("ok", "quarantined")
    assert "noisy" not in states
    outcome = worker.run(learn_spec(stripes_task(folder / "task"), folder / "out"))
    assert outcome.report is not None
    (loud,) = [score for score in outcome.report.candidates if score.algorithm == "loud"]
    assert "loud" in loud.bid_reason.split()
    assert worker.close() == 0


@pytest.mark.parametrize(
    ("backbone", "device", "reason"),
    [
        ("resnet", "cpu", "there is no backbone 'resnet'"),
        ("timm:resnet18@nowhere.pth", "cpu", "no such file"),
        ("conv4", "cuda:77", "cannot be put on cuda:77"),
    ],
)
def test_what_cannot_be_loaded_is_said(backbone: str, device: str, reason: str, folder: Path) -> None:
    worker = Worker(folder, spec_of(folder) if backbone == "conv4" else BackboneSpec(backbone), device)
    assert reason in worker.hear("failed")
    assert worker.process.wait(timeout=PATIENCE) == 1
    worker.close()


def test_it_beats_while_it_works_and_ends_when_its_parent_does(folder: Path) -> None:
    worker = Worker(folder, spec_of(folder), seconds=60.0)
    worker.hear("hello")
    worker.send(learn_spec(stripes_task(folder / "task"), folder / "out"))
    assert worker.hear("progress")["stage"] == "read"
    assert worker.hear("beat") is True
    assert worker.close() == 0  # at once, in the middle of the job
    assert not (folder / "out" / "result.json").exists()


@requires_data("omniglot")
def test_real_letters_with_the_backbone_that_ships(folder: Path) -> None:
    """5 ways, 5 shots; 15 other drawings of each letter are classified correctly, and the warm job is quick."""
    held_out = omniglot_task(folder / "letters", "Angelic", ways=5, shots=5)
    worker = Worker(folder, BackboneSpec("conv4"))
    worker.hear("hello")
    jobs = [learn_spec(folder / "letters", folder / f"out{number}") for number in range(5)]
    seconds = sorted(outcome.report.seconds for job in jobs if (outcome := worker.run(job)).report)
    assert len(seconds) == 5
    assert seconds[2] < 0.5  # 0.05 s on two idle cores; this machine may be busy
    for task in (None, "letters"):
        answer = worker.run(predict_spec(held_out, [member_of(jobs[0])], folder / "answer", task, top=1))
        hits = [Path(p.image).parent.name == p.top[0].class_name for p in answer.predictions]
        assert sum(hits) / len(hits) > 0.95
    worker.close()


def test_a_survey_is_made_and_makes_way_for_what_comes_meanwhile(folder: Path) -> None:
    worker = Worker(folder, spec_of(folder))
    worker.hear("hello")
    learnt = learn_spec(stripes_task(folder / "task"), folder / "out")
    assert worker.run(learnt).status == "done"
    member = member_of(learnt)
    spec = SurveySpec(1, (member,), (TaskToSurvey(member.id, None),), str(folder / "survey"))
    outcome = worker.run(spec)
    assert outcome.status == "done", outcome.reason
    assert [one.id for one in outcome.surveyed] == [member.id]
    # 400 members are read one by one: time enough for the word to come in.
    many = tuple(replace(member, id=str(number), name=str(number)) for number in range(400))
    worker.send(replace(spec, members=many))
    worker.hear("progress")
    assert worker.process.stdin is not None
    print(json.dumps({"drop": True}), file=worker.process.stdin, flush=True)
    dropped = from_json(Outcome, json.loads(Path(worker.hear("done")).read_text()))
    assert (dropped.status, dropped.surveyed) == ("dropped", ())
    assert worker.run(replace(learnt, out=str(folder / "again"))).status == "done"
    assert worker.close() == 0
