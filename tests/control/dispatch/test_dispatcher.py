"""Dispatch: jobs go out to workers, and whatever becomes of a worker, its job ends as it should.

The worker here is a light one: a script without torch that does with a job what the test told it to.
"""

from __future__ import annotations

import hashlib
import json
import queue
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learnd.control.dispatch.dispatcher import Dispatcher
from learnd.control.dispatch.plugin_strikes import AT_WORK, Strikes
from learnd.control.dispatch.progress_file import JobProgress, posted
from learnd.control.dispatch.worker_pool import SILENCE_SECONDS
from learnd.control.dispatch.worker_slot import SECOND_LOOK, WorkerSlot
from learnd.control.journal.journal import Journal
from learnd.control.journal.tasks import Content, TaskRow
from learnd.control.knowledge.generations import Generations
from learnd.control.processes.child import GONE, Child, Inbox
from learnd.control.processes.start import WorkerPlace
from learnd.errors import LearndError, PluginError, StateError
from learnd.messages.convert import from_json, to_json
from learnd.messages.jobs import BackboneSpec, HeadFile, JobSpec, LearnSpec
from learnd.messages.outcomes import Surveyed
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.messages.report import CandidateScore
from learnd.messages.state_files import BACKBONE_FILE
from learnd.messages.task import ImageFile, Problem, TaskState
from learnd.settings.keys import Settings
from learnd.settings.loading import load
from tests.control.candidates import candidate, named
from tests.patience import PATIENCE

HASH = "b" * 64
WORKER = """
import json, os, sys

def say(message):
    print(json.dumps(message), flush=True)

def leave(source, out):
    for name in os.listdir(source):
        with open(os.path.join(source, name), "rb") as read, open(os.path.join(out, name), "wb") as written:
            written.write(read.read())

hello, plans = json.loads(sys.argv[1]), sys.argv[2]
say(hello)
print("a library that prints", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    if "drop" in order:
        leave(os.path.join(plans, "dropped", "out"), spec["out"])
        say({"done": os.path.join(spec["out"], "result.json")})
        continue
    if "load" in order:
        with open(os.path.join(plans, "plugins.json")) as file:
            for words in json.load(file):
                say(words)
        continue
    with open(order["run"]) as file:
        spec = json.load(file)
    plan = os.path.join(plans, spec.get("name", spec["kind"]))
    with open(os.path.join(plan, "at")) as file:
        at = file.read()
    say({"progress": {"stage": spec["kind"], "done": 0, "total": 1, "algorithm": at}})
    with open(os.path.join(plan, "then")) as file:
        then = file.read()
    if at in spec.get("routing", {}).get("without", []):
        then = "done"
    if then == "die":
        print("Traceback: out of ideas", file=sys.stderr, flush=True)
        os._exit(7)
    if then == "hang":
        continue
    leave(os.path.join(plan, "out"), spec["out"])
    say({"done": os.path.join(spec["out"], "result.json")})
"""


def hello(device: str, digest: str = HASH, plugins: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    said = {"device": device, "pid": 1, "backbone": "conv4", "backbone_hash": digest, "versions": {}}
    return {"hello": said | {"plugins": plugins}}


class Crew:
    """Stands in for start_worker.  Told beforehand what a worker does with which job, and what it says first."""

    def __init__(self, folder: Path) -> None:
        self.plans = folder / "plans"
        self.first_words: list[dict[str, Any]] = []  # of the next ones to start; then a plain hello
        self.started: list[tuple[str, BackboneSpec]] = []
        self.barred: list[tuple[PluginInfo, ...]] = []  # with each start
        self.leaves("export", {"status": "done"}, {BACKBONE_FILE: b"weights"})

    def will(self, job: str, then: str, at: str = "") -> None:
        """then: "done" | "die" | "hang", at the call of an algorithm; where that one is left out, it is done."""
        (self.plans / job).mkdir(parents=True, exist_ok=True)
        (self.plans / job / "then").write_text(then)
        (self.plans / job / "at").write_text(at)

    def leaves(self, job: str, result: Any, files: dict[str, bytes]) -> None:
        out = self.plans / job / "out"
        out.mkdir(parents=True)
        for name, data in {"result.json": json.dumps(result).encode(), **files}.items():
            (out / name).write_bytes(data)
        self.will(job, "done")

    def says_of_plugins(self, *words: dict[str, Any]) -> None:
        """Set what a worker answers when it is asked to load the plugins again."""
        self.plans.mkdir(exist_ok=True)
        (self.plans / "plugins.json").write_text(json.dumps(words))

    def learns(self, job: str, revision: int = 1, **files: bytes) -> None:
        """It comes back with a good candidate, but for the files given."""
        out = self.plans / job / "out"
        outcome = candidate(out, named(job, revision), **files)
        (out / "result.json").write_text(json.dumps(to_json(outcome)))
        self.will(job, "done")

    def learns_without(self, algorithm: str, *jobs: str) -> None:
        """It dies at the call of this algorithm; where that is left out, it comes back with a good candidate."""
        for job in jobs:
            self.learns(job)
            self.will(job, "die", at=algorithm)

    def start_worker(
        self,
        place: WorkerPlace,
        backbone: BackboneSpec,
        settings: Settings,
        inbox: Inbox,
        barred: tuple[PluginInfo, ...],
    ) -> Child:
        self.barred.append(barred)
        words = self.first_words.pop(0) if self.first_words else hello(place.device)
        if "hello" in words:
            kept = [one for one in words["hello"]["plugins"] if one["name"] not in {plugin.name for plugin in barred}]
            words = {"hello": {**words["hello"], "plugins": kept}}
        self.started.append((place.name, backbone))
        command = [sys.executable, "-I", "-S", "-c", WORKER, json.dumps(words), str(self.plans)]
        return Child(place.name, command, settings.state / "logs" / f"{place.name}.log", inbox)


class Clock:
    """Stands in for the module `time`: the real one, plus what the test adds; set: how far somebody set the clock."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.set = 0.0

    def time(self) -> float:
        return time.time() + self.ahead + self.set

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class Yard:
    """A dispatcher with its crew, turned by hand as the service turns it."""

    def __init__(self, folder: Path, crew: Crew, clock: Clock, **flags: str) -> None:
        plain = {"state": str(folder / "state"), "tasks": str(folder / "tasks"), "backbone": "conv4", "devices": "cpu"}
        quick = {"worker.retry_seconds": "0", "plugins_dir": str(folder / "plugins"), "knowledge.survey_tasks": "0"}
        self.crew, self.clock = crew, clock
        named_flags = {name.replace("__", "."): value for name, value in flags.items()}
        self.settings = load(None, plain | quick | named_flags, {})
        self.settings.state.mkdir(exist_ok=True)
        self.journal = Journal(self.settings.state / "journal.sqlite", create=True)
        self.generations = Generations(self.settings.state, self.journal)
        self.generations.prepare()
        self.inbox: queue.SimpleQueue[tuple[Child, dict[str, Any]]] = queue.SimpleQueue()
        self.heard: list[dict[str, Any]] = []
        self.looked: list[str] = []
        self.notices: list[tuple[str, str]] = []
        self.dispatcher = Dispatcher(
            self.settings,
            self.journal,
            self.generations,
            lambda child, message: self.inbox.put((child, message)),
            self.looked.append,
            lambda level, text: self.notices.append((level, text)),
        )

    def queue(self, name: str, digest: str = "00000007") -> None:
        spec = JobSpec(f"/tasks/{name}", (ImageFile("a/0.png", "a"), ImageFile("b/0.png", "b")))
        self.journal.jobs.accept(name, name, Content(digest, digest, ways=2, images=2), spec)

    def until(self, wanted: Callable[[], bool]) -> None:
        """Turn until it holds."""
        end = time.monotonic() + PATIENCE
        while not wanted():
            assert time.monotonic() < end, (self.heard, self.notices)
            pause = self.dispatcher.tick()
            try:
                child, message = self.inbox.get(timeout=min(pause, PATIENCE))
            except queue.Empty:
                continue
            self.heard.append(message)
            self.dispatcher.hear(child, message)

    def hear_all(self) -> None:
        """What has come in so far."""
        while not self.inbox.empty():
            child, message = self.inbox.get()
            self.heard.append(message)
            self.dispatcher.hear(child, message)

    def pass_by(self, seconds: float) -> None:
        """So many seconds go by, and what is overdue then gets its second look."""
        for step in (seconds, SECOND_LOOK):
            self.clock.ahead += step
            self.dispatcher.tick()
            self.hear_all()

    def start(self) -> None:
        """Start, and wait until every worker is ready and the state has its backbone."""
        self.dispatcher.start()
        self.until(lambda: all(slot.ready for slot in self.slots) and not self.dispatcher.busy and self.has_backbone)

    @property
    def has_backbone(self) -> bool:
        return self.generations.backbone_hash() is not None

    @property
    def slots(self) -> list[WorkerSlot]:
        return self.dispatcher.slots

    def child(self) -> Child:
        child = self.slots[0].child
        assert child is not None
        return child

    def row(self, name: str) -> TaskRow:
        return self.journal.tasks.revisions(name)[-1]

    def until_state(self, name: str, state: TaskState) -> TaskRow:
        self.until(lambda: self.row(name).state == state)
        return self.row(name)

    def until_begun(self, name: str) -> None:
        """The job is in the hands of a worker that has said so."""
        self.until(lambda: any(s.lease is not None and s.lease.name == name and bool(s.progress) for s in self.slots))

    def jobs_begun(self) -> list[str]:
        return [message["progress"]["stage"] for message in self.heard if "progress" in message]

    def stages_said(self, level: str) -> list[str]:
        return [text for said, text in self.notices if said == level]


MakeYard = Callable[..., Yard]


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crew:
    crew = Crew(tmp_path)
    monkeypatch.setattr("learnd.control.dispatch.worker_pool.start_worker", crew.start_worker)
    return crew


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("learnd.control.dispatch.dispatcher.time", clock)
    monkeypatch.setattr("learnd.control.dispatch.worker_pool.time", clock)
    return clock


@pytest.fixture
def make_yard(tmp_path: Path, crew: Crew, clock: Clock) -> Iterator[MakeYard]:
    yards: list[Yard] = []

    def make(**flags: str) -> Yard:
        yards.append(Yard(tmp_path, crew, clock, **flags))
        return yards[-1]

    yield make
    for yard in yards:
        yard.dispatcher.stop()
        yard.journal.close()


@pytest.fixture
def yard(make_yard: MakeYard) -> Yard:
    return make_yard()


# --- learning -------------------------------------------------------------------------------------------------------


def test_a_new_state_gets_its_own_copy_of_the_backbone_before_anything_is_learned(yard: Yard) -> None:
    yard.crew.learns("cats")
    yard.queue("cats")
    yard.dispatcher.start()
    yard.until_state("cats", TaskState.LEARNED)

    assert yard.jobs_begun() == ["export", "learn"]
    assert (yard.generations.backbones / f"{HASH}.safetensors").read_bytes() == b"weights"


def test_a_candidate_that_passes_becomes_knowledge(yard: Yard) -> None:
    yard.crew.learns("cats")
    yard.queue("cats")
    yard.start()
    row = yard.until_state("cats", TaskState.LEARNED)

    assert (row.version, row.algorithm, row.accuracy) == (1, "protonet", 0.9)
    assert yard.generations.verify() == 4
    assert "learned cats: protonet, accuracy 0.900 (cross-validation), version 1" in yard.stages_said("info")
    assert list(yard.generations.work.iterdir()) == []
    assert not yard.dispatcher.busy


def test_how_far_it_is_can_be_seen_from_outside(yard: Yard) -> None:
    yard.crew.will("cats", "hang", at="ridge")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    yard.dispatcher.tick()

    lease = yard.slots[0].lease
    assert lease is not None
    assert posted(yard.settings.state) == (JobProgress("cpu:0", lease.epoch, "learn", 0, 1, "ridge"),)


def test_while_it_is_paused_no_job_begins(yard: Yard) -> None:
    yard.start()
    yard.crew.learns("cats")
    yard.journal.pause()
    yard.queue("cats")
    pauses = [yard.dispatcher.tick() for _ in range(3)]
    assert yard.row("cats").state == TaskState.QUEUED
    assert min(pauses) > 1.0  # nor does it look for work that it may not give out

    yard.journal.resume()
    yard.until_state("cats", TaskState.LEARNED)


def test_the_worker_is_told_everything_it_needs_to_learn(make_yard: MakeYard) -> None:
    yard = make_yard(routing__folds="3", knowledge__exemplars_per_class="7")
    yard.crew.will("cats", "hang")
    yard.queue("cats", digest="0000000aff")
    yard.start()
    yard.until_begun("cats")

    (job,) = yard.generations.work.glob("*/job.json")
    document = json.loads(job.read_text())
    assert document.pop("schema") == 1
    spec = from_json(LearnSpec, document)
    assert (spec.name, spec.revision, spec.folder, spec.seed) == ("cats", 1, "/tasks/cats", 10)
    assert spec.files == (ImageFile("a/0.png", "a"), ImageFile("b/0.png", "b"))
    assert (spec.routing.folds, spec.exemplars_per_class) == (3, 7)
    assert Path(spec.out) == job.parent / "out"
    assert Path(spec.out).is_dir()


def test_two_workers_learn_at_once_after_one_of_them_exported_the_backbone(make_yard: MakeYard) -> None:
    yard = make_yard(devices="[cpu, cpu]")
    for name in ("cats", "dogs"):
        yard.crew.will(name, "hang")
        yard.queue(name, digest=name.encode().hex())
    yard.dispatcher.start()
    yard.until(lambda: yard.jobs_begun().count("learn") == 2)

    assert yard.jobs_begun().count("export") == 1
    assert {worker.task for worker in yard.journal.workers()} == {"cats", "dogs"}


@pytest.mark.parametrize(
    ("devices", "names"),
    [
        ("[cuda:1, cpu, cpu]", ["cuda:1", "cpu:0", "cpu:1"]),
        ("[cuda:0, cuda:1, cuda:0]", ["cuda:0", "cuda:1", "cuda:0#2"]),
        ("[cuda, cuda:0, cuda]", ["cuda:0", "cuda:0#2", "cuda:0#3"]),
    ],
)
def test_every_worker_has_a_name_of_its_own(make_yard: MakeYard, devices: str, names: list[str]) -> None:
    assert [slot.name for slot in make_yard(devices=devices).slots] == names


@pytest.mark.parametrize("status", ["failed", "rejected"])
def test_what_a_worker_gives_up_is_told_with_its_reason_and_not_tried_again(yard: Yard, status: str) -> None:
    problem = Problem("undecodable", "a/0.png", "is no image", "remove it")
    yard.crew.leaves("cats", {"status": status, "reason": "no way", "problems": [to_json(problem)]}, {})
    yard.queue("cats")
    yard.start()
    row = yard.until_state("cats", TaskState(status))

    assert row.reason == "no way"
    assert row.problems == ((problem,) if status == "rejected" else ())
    assert yard.journal.jobs.next_due() is None


def test_a_folder_that_changed_under_the_worker_is_looked_at_again(yard: Yard) -> None:
    yard.crew.leaves("cats", {"status": "changed", "reason": "a/0.png is another file now"}, {})
    yard.queue("cats")
    yard.start()
    row = yard.until_state("cats", TaskState.WAITING)

    assert (row.reason, row.fingerprint) == ("a/0.png is another file now", "")
    assert yard.looked == ["cats"]


def test_a_candidate_that_the_gate_refuses_fails_and_changes_nothing(yard: Yard) -> None:
    yard.crew.learns("cats", statistics_safetensors=b"rubbish")
    yard.queue("cats")
    yard.start()
    row = yard.until_state("cats", TaskState.FAILED)

    assert row.reason.startswith("refused at the gate: statistics.safetensors")
    assert yard.journal.head == 0
    assert list(yard.generations.tasks.iterdir()) == []


# --- workers that are lost ------------------------------------------------------------------------------------------


def test_a_job_whose_worker_died_is_tried_again_by_a_new_one(yard: Yard) -> None:
    yard.crew.will("cats", "die")
    yard.queue("cats")
    yard.start()
    yard.until(lambda: "attempt 1" in yard.row("cats").reason)
    yard.crew.learns("cats")
    yard.until_state("cats", TaskState.LEARNED)

    assert len(yard.crew.started) >= 2
    _, backbone = yard.crew.started[-1]
    assert backbone.file == str(yard.generations.backbones / f"{HASH}.safetensors")


def test_after_the_last_attempt_it_has_failed_with_the_tail_of_the_log(make_yard: MakeYard) -> None:
    yard = make_yard(worker__attempts="2")
    yard.crew.will("cats", "die")
    yard.queue("cats")
    yard.start()
    row = yard.until_state("cats", TaskState.FAILED)

    assert row.reason == "the worker ended with exit code 7, at: learn (2 attempts)"
    assert row.detail == "Traceback: out of ideas"
    (again,) = [event for event in yard.journal.db.events() if event.kind == "requeued"]
    assert again.message == "attempt 1 of 2: the worker ended with exit code 7, at: learn; tried again in 0 s"


def test_between_two_attempts_there_is_a_delay(make_yard: MakeYard) -> None:
    yard = make_yard(worker__retry_seconds="3600")
    yard.crew.will("cats", "die")
    yard.queue("cats")
    yard.start()
    yard.until(lambda: "attempt 1" in yard.row("cats").reason)
    yard.until(lambda: yard.slots[0].ready)
    yard.dispatcher.tick()

    due = yard.journal.jobs.next_due()
    assert due is not None
    assert 3500 < due - time.time() < 3600
    assert yard.row("cats").state == TaskState.QUEUED
    assert yard.jobs_begun().count("learn") == 1


def test_a_worker_that_overruns_its_time_is_replaced_and_its_job_counts_as_tried(make_yard: MakeYard) -> None:
    yard = make_yard(worker__attempts="1", worker__job_seconds="30")
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    old = yard.child()
    yard.clock.ahead = 31
    row = yard.until_state("cats", TaskState.FAILED)
    yard.until(lambda: yard.slots[0].ready)

    assert row.reason == "it overran its 30 s (worker.job_seconds), at: learn (1 attempts)"
    assert yard.child() is not old


def test_a_worker_that_hangs_without_a_beat_is_replaced(make_yard: MakeYard) -> None:
    yard = make_yard(worker__attempts="1")
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")

    yard.pass_by(SILENCE_SECONDS - 5)
    yard.dispatcher.hear(yard.child(), {"beat": True})
    yard.pass_by(10)
    assert yard.row("cats").state == TaskState.RUNNING

    yard.pass_by(SILENCE_SECONDS)
    row = yard.until_state("cats", TaskState.FAILED)
    assert "silent for 60 s" in row.reason


def test_what_a_replaced_worker_still_says_is_dropped(yard: Yard) -> None:
    yard.crew.learns("cats")
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    late = yard.child()
    yard.pass_by(SILENCE_SECONDS + 1)
    yard.until_begun("cats")
    before = (yard.child(), yard.slots[0].lease, list(yard.notices))

    late_words = ({"done": "result.json"}, {"failed": "cannot start"}, hello("cpu", "f" * 64), {GONE: -9})
    for message in late_words:
        yard.dispatcher.hear(late, message)
    assert (yard.child(), yard.slots[0].lease, yard.notices) == before


def test_skipping_a_task_ends_the_worker_that_learns_it_and_the_next_task_follows(yard: Yard) -> None:
    yard.crew.will("cats", "hang")
    yard.crew.learns("dogs")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    worker = yard.child()
    yard.journal.tasks.skip("cats")
    yard.dispatcher.tick()
    yard.queue("dogs", digest="00000008")
    yard.until_state("dogs", TaskState.LEARNED)

    assert not Path(f"/proc/{worker.pid}").exists()
    assert yard.row("cats").state == TaskState.SKIPPED
    assert yard.stages_said("warning") == []


def test_stopping_puts_the_job_back_and_holds_nothing_against_it(yard: Yard) -> None:
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    worker = yard.child()
    yard.dispatcher.stop()

    assert not Path(f"/proc/{worker.pid}").exists()
    assert [w.state for w in yard.journal.workers()] == ["stopped"]
    assert (yard.row("cats").state, yard.row("cats").reason) == (TaskState.QUEUED, "the daemon was stopped")
    again = yard.journal.jobs.lease("cpu:0")
    assert again is not None
    assert again.attempts == 0


def test_a_job_that_broke_the_worker_is_tried_again_by_another(make_yard: MakeYard) -> None:
    yard = make_yard(worker__attempts="2")
    yard.crew.leaves("cats", {"status": "broken", "reason": "MemoryError: "}, {})
    yard.queue("cats")
    yard.start()
    row = yard.until_state("cats", TaskState.FAILED)

    assert row.reason == "MemoryError:  (2 attempts)"
    assert yard.jobs_begun().count("learn") == 2
    assert len(yard.crew.started) >= 2


@pytest.mark.parametrize("said", ["no_room", "unwritten"])
def test_a_worker_without_room_on_the_disk_costs_the_job_nothing(yard: Yard, said: str) -> None:
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    slot, worker = yard.slots[0], yard.child()
    assert slot.out is not None
    (slot.out / "result.json").write_text('{"status": "no_room", "reason": "[Errno 28] No space left on device"}')
    unwritten = {"unwritten": "[Errno 28] No space left on device"}
    yard.dispatcher.hear(worker, {"done": "result.json"} if said == "no_room" else unwritten)

    row = yard.row("cats")
    assert (row.state, yard.child()) == (TaskState.QUEUED, worker)
    assert "No space left on device" in row.reason
    due = yard.journal.jobs.next_due()
    assert due is not None
    assert 25 < due - time.time() <= 30
    assert yard.journal.db.all("SELECT attempts FROM jobs")[0]["attempts"] == 0


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-48, 48])
def test_a_clock_that_is_set_kills_no_job_and_stops_no_learning(yard: Yard, hours: int) -> None:
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    worker = yard.child()
    yard.clock.set = hours * 3600.0
    for _ in range(3):
        yard.dispatcher.tick()
        yard.hear_all()
    assert (yard.row("cats").state, yard.child()) == (TaskState.RUNNING, worker)

    worker.kill()
    yard.crew.learns("cats")
    yard.until_state("cats", TaskState.LEARNED)


def test_a_clock_that_is_set_back_makes_no_job_wait_longer(make_yard: MakeYard) -> None:
    yard = make_yard(worker__retry_seconds="60")
    yard.crew.will("cats", "die")
    yard.queue("cats")
    yard.start()
    yard.until(lambda: "attempt 1" in yard.row("cats").reason)
    yard.crew.learns("cats")
    yard.clock.set = -48 * 3600.0
    yard.dispatcher.tick()
    yard.clock.ahead += 61
    yard.until_state("cats", TaskState.LEARNED)


def test_a_daemon_that_was_held_up_hears_its_workers_before_it_judges_them(make_yard: MakeYard) -> None:
    yard = make_yard(worker__job_seconds="7200")
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    worker = yard.child()

    yard.clock.ahead += 10 * SILENCE_SECONDS  # meanwhile it beat all the time, and nobody read it
    yard.inbox.put((worker, {"beat": True}))
    yard.pass_by(0)
    assert (yard.row("cats").state, yard.child()) == (TaskState.RUNNING, worker)

    yard.clock.ahead += 10 * SILENCE_SECONDS  # and this time the beats come in late
    yard.dispatcher.tick()
    yard.inbox.put((worker, {"beat": True}))
    yard.pass_by(0)
    assert (yard.row("cats").state, yard.child()) == (TaskState.RUNNING, worker)

    yard.pass_by(2 * SILENCE_SECONDS)
    assert yard.slots[0].child is None
    assert "silent for 60 s" in yard.row("cats").reason


# --- results that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", ["", '{"status": "do', "{}", '{"status": "done", "colour": "red"}'])
def test_a_result_that_cannot_be_read_counts_as_a_death(make_yard: MakeYard, result: str) -> None:
    yard = make_yard(worker__attempts="1")
    yard.crew.learns("cats")
    (yard.crew.plans / "cats" / "out" / "result.json").write_text(result)
    yard.queue("cats")
    yard.start()
    row = yard.until_state("cats", TaskState.FAILED)

    assert "no readable result" in row.reason


@pytest.mark.parametrize(
    "message",
    [
        {"hello": {}},
        {"progress": 5},
        {"progress": {"stage": 1}},
        {"importing": {"name": "x"}},
        {"loaded": []},
        {"done": {}},
    ],
)
def test_a_message_that_makes_no_sense_costs_the_worker_and_not_the_daemon(
    make_yard: MakeYard, message: dict[str, Any]
) -> None:
    yard = make_yard(worker__attempts="2")
    yard.crew.learns("cats")
    yard.start()
    yard.until(lambda: yard.slots[0].ready)
    yard.dispatcher.hear(yard.child(), message)
    assert any("sent a message that makes no sense" in text for _, text in yard.notices)
    yard.queue("cats")
    yard.until_state("cats", TaskState.LEARNED)


def test_a_missing_result_counts_as_a_death(make_yard: MakeYard) -> None:
    yard = make_yard(worker__attempts="1")
    yard.crew.learns("cats")
    (yard.crew.plans / "cats" / "out" / "result.json").unlink()
    yard.queue("cats")
    yard.start()

    assert "no readable result" in yard.until_state("cats", TaskState.FAILED).reason


@pytest.mark.parametrize("result", ["[]", "null", '{"status": "failed", "problems": [7]}'])
def test_a_result_of_another_shape_counts_as_a_death(make_yard: MakeYard, result: str) -> None:
    yard = make_yard(worker__attempts="1")
    yard.crew.learns("cats")
    (yard.crew.plans / "cats" / "out" / "result.json").write_text(result)
    yard.queue("cats")
    yard.start()

    assert "no readable result" in yard.until_state("cats", TaskState.FAILED).reason


# --- starting -------------------------------------------------------------------------------------------------------


def test_where_no_worker_can_ever_start_the_daemon_says_why_and_ends(yard: Yard) -> None:
    yard.crew.first_words = [{"failed": "torch is not installed"}]
    yard.dispatcher.start()
    with pytest.raises(LearndError, match="no worker can start on cpu: torch is not installed") as error:
        yard.until(lambda: False)
    assert error.value.remedy == "`learnd doctor` looks closer"


def test_a_worker_that_cannot_start_again_is_given_another_try_later(yard: Yard) -> None:
    yard.crew.will("cats", "die")
    yard.queue("cats")
    yard.start()
    yard.crew.first_words = [{"failed": "the device is gone"}]
    yard.until(lambda: any("next one starts in" in text for text in yard.stages_said("warning")))
    yard.crew.learns("cats")
    starts = len(yard.crew.started)

    yard.dispatcher.tick()
    assert len(yard.crew.started) == starts
    yard.clock.ahead = 2
    yard.until_state("cats", TaskState.LEARNED)


def test_a_worker_that_says_nothing_is_replaced_and_the_pause_grows(make_yard: MakeYard) -> None:
    yard = make_yard(worker__start_seconds="30")
    yard.crew.first_words = [{}, {}]
    yard.dispatcher.start()

    for pause in (2, 4):
        yard.pass_by(31)
        assert yard.slots[0].child is None
        yard.clock.ahead += pause - 1
        yard.dispatcher.tick()
        assert yard.slots[0].child is None
        yard.clock.ahead += 1
        yard.dispatcher.tick()
        assert yard.slots[0].child is not None
    yard.until(lambda: yard.slots[0].ready)
    why = "the worker did not start within 30 s"
    assert yard.stages_said("warning") == [
        f"cpu:0: {why}",
        f"cpu:0 was lost, the next one starts in 2 s ({why})",
        f"cpu:0: {why}",
        f"cpu:0 was lost 2 times since a job came back, the next one starts in 4 s ({why})",
    ]


def die_idle(yard: Yard) -> None:
    """Something ends a worker that has nothing to do."""
    yard.until(lambda: yard.slots[0].ready)
    yard.child().kill()
    yard.until(lambda: yard.slots[0].child is None)


def test_one_that_dies_idle_again_and_again_starts_ever_later_until_a_job_comes_back(yard: Yard) -> None:
    yard.start()
    for pause in (2, 4, 8, 16, 32, 60, 60):
        die_idle(yard)
        assert [worker.state for worker in yard.journal.workers()] == ["restarting"]
        assert f"the next one starts in {pause} s" in yard.stages_said("warning")[-1]
        assert "was killed by SIGKILL" in yard.stages_said("warning")[-1]
        yard.clock.ahead += pause - 1
        yard.dispatcher.tick()
        assert yard.slots[0].child is None
        yard.clock.ahead += 1
    yard.crew.learns("cats")
    yard.queue("cats")
    yard.until_state("cats", TaskState.LEARNED)
    die_idle(yard)
    assert "cpu:0 was lost, the next one starts in 2 s" in yard.stages_said("warning")[-1]


def test_one_that_dies_at_a_job_is_replaced_at_once(yard: Yard) -> None:
    yard.crew.will("cats", "die")
    yard.queue("cats")
    yard.start()
    yard.until_state("cats", TaskState.FAILED)
    yard.dispatcher.tick()
    assert yard.slots[0].child is not None


def test_a_worker_with_another_backbone_than_the_states_own_ends_the_daemon(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "exported").write_bytes(b"weights")
    yard.generations.keep_backbone("conv4", tmp_path / "exported", HASH)
    yard.crew.first_words = [hello("cpu", "f" * 64)]
    yard.dispatcher.start()
    with pytest.raises(StateError, match="holds backbone ffffffffffff, this state was made with bbbbbbbbbbbb"):
        yard.until(lambda: False)


def test_a_backbone_that_cannot_be_exported_ends_the_daemon(yard: Yard) -> None:
    (yard.crew.plans / "export" / "out" / "result.json").write_text('{"status": "failed", "reason": "disk full"}')
    yard.dispatcher.start()
    with pytest.raises(StateError, match="could not be exported: disk full"):
        yard.until(lambda: False)


def test_a_worker_that_dies_while_it_exports_is_no_end(yard: Yard) -> None:
    yard.crew.will("export", "die")
    yard.dispatcher.start()
    yard.until(lambda: len(yard.crew.started) == 2)
    yard.crew.will("export", "done")
    yard.until(lambda: yard.has_backbone)


def test_the_plugins_of_a_worker_are_kept_and_a_quarantined_one_is_said(yard: Yard) -> None:
    good = {"name": "protonet", "source": "built-in", "state": "ok"}
    bad = {"name": "mine", "source": "mine.py", "state": "quarantined", "reason": "KeyError: 'x'\n  File mine.py\n"}
    yard.crew.first_words = [hello("cpu", plugins=(good, bad))]
    yard.start()

    assert [(plugin.name, plugin.state) for plugin in yard.journal.plugins()] == [
        ("protonet", "ok"),
        ("mine", "quarantined"),
    ]
    assert yard.stages_said("warning") == ["plugin mine (mine.py) is quarantined: KeyError: 'x'"]
    assert "cpu:0 is ready: conv4, plugins in use: 1" in yard.stages_said("info")


def test_a_plugin_that_is_quarantined_without_a_reason_is_no_trouble(yard: Yard) -> None:
    mute = {"name": "mine", "source": "mine.py", "state": "quarantined", "reason": " \n"}
    yard.crew.first_words = [hello("cpu", plugins=(mute,))]
    yard.start()
    assert yard.stages_said("warning") == ["plugin mine (mine.py) is quarantined: no reason given"]


def test_text_that_is_no_unicode_is_kept_escaped(yard: Yard) -> None:
    odd = {"name": "m\udc80", "source": "m.py", "state": "quarantined", "reason": "KeyError: '\udcff'"}
    yard.crew.first_words = [hello("cpu", plugins=(odd,))]
    yard.crew.leaves("cats", {"status": "failed", "reason": "no \udcff way"}, {})
    yard.queue("cats")
    yard.start()

    assert yard.until_state("cats", TaskState.FAILED).reason == "no \\udcff way"
    assert [plugin.name for plugin in yard.journal.plugins()] == ["m\\udc80"]
    for _, text in yard.notices:
        text.encode()


def test_only_what_the_plugins_of_every_worker_read_can_be_read(make_yard: MakeYard) -> None:
    yard = make_yard(devices="[cpu, cpu]")
    first, second = hello("cpu"), hello("cpu")
    first["hello"]["readers"], second["hello"]["readers"] = [".mp3", ".wav"], [".flac", ".wav"]
    yard.crew.first_words = [first, second]
    assert yard.dispatcher.readers is None
    yard.start()
    assert yard.dispatcher.readers == (".wav",)


# --- plugins that take a worker with them ---------------------------------------------------------------------------


def importing(name: str, source: str = "/plugins/evil.py") -> dict[str, Any]:
    return {"importing": {"name": name, "source": source}}


def test_a_plugin_that_kills_the_worker_at_its_import_is_named_and_kept_from_the_next(yard: Yard) -> None:
    yard.crew.learns("cats")
    yard.crew.first_words = [importing("evil")]
    yard.queue("cats")
    yard.dispatcher.start()
    yard.until(lambda: yard.slots[0].importing is not None)
    yard.child().kill()
    yard.until_state("cats", TaskState.LEARNED)

    reason = "killed the worker while being imported: the worker was killed by SIGKILL"
    assert yard.crew.barred[:2] == [(), (PluginInfo("evil", "/plugins/evil.py", PluginState.QUARANTINED, reason),)]
    (strike,) = Strikes(yard.journal).all()
    assert (strike.name, strike.count, strike.reason) == ("evil", 1, reason)
    events = [event.message for event in yard.journal.db.events() if event.kind == "strike"]
    assert events == [f"plugin evil (/plugins/evil.py): {reason}"]


def test_a_plugin_whose_import_never_ends_is_a_culprit_too(make_yard: MakeYard) -> None:
    yard = make_yard(worker__start_seconds="30")
    yard.crew.first_words = [importing("sleepy")]
    yard.dispatcher.start()
    yard.until(lambda: yard.slots[0].importing is not None)
    yard.pass_by(31)
    yard.until(lambda: yard.slots[0].ready)

    assert [plugin.name for plugin in yard.crew.barred[-1]] == ["sleepy"]
    assert "did not start within 30 s" in yard.crew.barred[-1][0].reason


def test_a_worker_that_dies_after_its_imports_is_nobodys_strike(yard: Yard) -> None:
    yard.crew.first_words = [importing("innocent")]
    yard.dispatcher.start()
    yard.until(lambda: yard.slots[0].importing is not None)
    yard.dispatcher.hear(yard.child(), {"importing": None})
    yard.child().kill()
    yard.until(lambda: yard.slots[0].child is None)
    assert Strikes(yard.journal).all() == []


def test_where_every_worker_dies_before_its_hello_the_daemon_says_so_and_ends(make_yard: MakeYard) -> None:
    yard = make_yard(worker__attempts="2")
    yard.crew.first_words = [{}, {}]
    yard.dispatcher.start()
    yard.child().kill()
    yard.until(lambda: yard.slots[0].child is None)
    yard.clock.ahead += 5
    yard.dispatcher.tick()
    yard.child().kill()
    with pytest.raises(LearndError, match=r"no worker can start on cpu: .*SIGKILL \(2 attempts\)"):
        yard.until(lambda: False)


# --- algorithms that take a worker with them --------------------------------------------------------------------------

WILD = {"name": "wild", "source": "/plugins/evil.py", "state": "ok"}


def with_wild(make_yard: MakeYard, workers: int = 1, **flags: str) -> Yard:
    """A yard whose workers have all loaded the algorithm "wild", unless it is kept from them."""
    yard = make_yard(devices=f"[{', '.join(['cpu'] * workers)}]", **flags)
    yard.crew.first_words = [hello("cpu", plugins=(WILD,)) for _ in range(20)]
    yard.crew.says_of_plugins(loaded())
    return yard


def test_the_last_attempt_leaves_out_the_algorithm_at_which_the_worker_died(make_yard: MakeYard) -> None:
    yard = with_wild(make_yard)
    yard.crew.learns_without("wild", "cats")
    yard.queue("cats")
    yard.start()
    yard.until_state("cats", TaskState.LEARNED)

    outcomes = [row["outcome"] for row in yard.journal.db.all("SELECT outcome FROM attempts ORDER BY epoch")]
    assert outcomes == ["died", "died", "done"]
    (strike,) = Strikes(yard.journal).all()
    assert (strike.name, strike.source, strike.role, strike.standing) == ("wild", "/plugins/evil.py", AT_WORK, 2)
    how = "the worker ended with exit code 7, at: learn, while learning cats"
    assert strike.reason == f"was at work when a worker was lost: {how}"
    assert set(yard.crew.barred) == {()}


def test_one_that_hangs_is_left_out_like_one_that_dies(make_yard: MakeYard) -> None:
    yard = with_wild(make_yard, worker__attempts="2", worker__job_seconds="30")
    yard.crew.learns("cats")
    yard.crew.will("cats", "hang", at="wild")
    yard.queue("cats")
    yard.start()
    yard.until_begun("cats")
    yard.clock.ahead = 31
    yard.until_state("cats", TaskState.LEARNED)


def test_what_the_next_daemon_does_is_the_same(make_yard: MakeYard) -> None:
    yard = with_wild(make_yard, worker__attempts="2")
    yard.crew.learns_without("wild", "cats")
    yard.queue("cats")
    yard.start()
    yard.until(lambda: "attempt 1" in yard.row("cats").reason)
    yard.dispatcher.stop()
    lease = yard.journal.jobs.lease("cpu:0")
    assert lease is not None
    assert (lease.attempts, lease.spec.culprits) == (1, ("wild",))


def test_the_third_time_it_is_kept_from_every_worker(make_yard: MakeYard) -> None:
    yard = with_wild(make_yard, workers=2)
    yard.crew.learns_without("wild", "cats", "dogs", "eels")
    for number, task in enumerate(("cats", "dogs", "eels")):
        yard.queue(task, digest=f"0000000{number}")
    yard.start()
    for task in ("cats", "dogs", "eels"):
        yard.until_state(task, TaskState.LEARNED)
    yard.until(lambda: all(slot.ready for slot in yard.slots))

    (barred,) = yard.crew.barred[-1]
    assert (barred.name, barred.source, barred.state) == ("wild", "/plugins/evil.py", "quarantined")
    assert "wild" not in [plugin.name for slot in yard.slots if slot.hello for plugin in slot.hello.plugins]


def test_one_that_works_in_between_is_forgiven(make_yard: MakeYard) -> None:
    yard = with_wild(make_yard)
    score = CandidateScore("wild", 0.9, "", 0.1, "measured", accuracy=0.8)
    yard.start()
    for number in range(3):  # at each, somebody ends the worker once
        task = f"task{number}"
        yard.crew.learns(task)
        report = yard.crew.plans / task / "out" / "result.json"
        outcome = json.loads(report.read_text())
        outcome["report"]["candidates"] = [to_json(score)]
        report.write_text(json.dumps(outcome))
        yard.crew.will(task, "die", at="wild")
        yard.queue(task, digest=f"0000000{number}")
        yard.until(lambda task=task: "attempt 1" in yard.row(task).reason)  # type: ignore[misc]
        yard.crew.will(task, "done")
        yard.until_state(task, TaskState.LEARNED)

    (strike,) = Strikes(yard.journal).all()
    assert (strike.count, strike.standing) == (3, 0)
    assert set(yard.crew.barred) == {()}


def test_a_broken_job_is_no_algorithms_fault(make_yard: MakeYard) -> None:
    yard = with_wild(make_yard, worker__attempts="2")
    yard.crew.leaves("cats", {"status": "broken", "reason": "MemoryError: "}, {})
    yard.crew.will("cats", "done", at="wild")
    yard.queue("cats")
    yard.start()
    yard.until_state("cats", TaskState.FAILED)
    assert Strikes(yard.journal).all() == []


# --- plugins that come and go while it runs ---------------------------------------------------------------------------


def loaded(*plugins: dict[str, Any], readers: tuple[str, ...] = (), observers: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"loaded": {"plugins": plugins, "readers": readers, "observers": observers}}


def drop(yard: Yard, name: str, text: str) -> Path:
    yard.settings.plugins_dir.mkdir(exist_ok=True)
    file = yard.settings.plugins_dir / name
    file.write_text(text)
    return file


MINE = {"name": "mine", "source": "mine.py", "state": "ok"}
BROKEN = {"name": "mine", "source": "mine.py", "state": "quarantined", "reason": "SyntaxError: never closed"}


def test_a_plugin_that_comes_is_loaded_by_a_worker_that_has_nothing_to_do(yard: Yard) -> None:
    yard.start()
    assert yard.journal.plugins() == ()
    before = yard.dispatcher.plugin_files
    yard.crew.says_of_plugins(loaded(MINE, readers=(".wav",), observers=("mine",)))
    drop(yard, "mine.py", "good")
    yard.until(lambda: yard.dispatcher.plugin_files != before)

    assert [(plugin.name, plugin.state) for plugin in yard.journal.plugins()] == [("mine", "ok")]
    assert yard.journal.plugin_files() == yard.dispatcher.plugin_files
    assert (yard.dispatcher.readers, yard.dispatcher.observers) == ((".wav",), ("mine",))
    assert "cpu:0 has loaded the plugins anew, in use: 1" in yard.stages_said("info")
    assert (len(yard.crew.started), yard.slots[0].ready) == (1, True)
    assert yard.journal.workers()[0].state == "ready"


def test_one_that_is_changed_to_break_is_said_once(yard: Yard) -> None:
    yard.crew.says_of_plugins(loaded(BROKEN))
    drop(yard, "mine.py", "good")
    yard.start()
    for text in ("bro", "broken"):
        before = yard.dispatcher.plugin_files
        drop(yard, "mine.py", text)
        yard.until(lambda before=before: yard.dispatcher.plugin_files != before)  # type: ignore[misc]
    assert yard.stages_said("warning") == ["plugin mine (mine.py) is quarantined: SyntaxError: never closed"]


def test_where_plugins_are_strict_one_that_is_changed_to_break_ends_the_daemon_with_its_traceback(
    make_yard: MakeYard,
) -> None:
    yard = make_yard(plugins_strict="true")
    reason = "ValueError: no\n  File 'mine.py', line 3\n    raise ValueError('no')"
    yard.crew.says_of_plugins(loaded({**BROKEN, "reason": reason}))
    yard.start()
    drop(yard, "mine.py", "broken")
    with pytest.raises(PluginError, match=r"plugin mine \(mine.py\).*ValueError: no\n  File 'mine.py', line 3"):
        yard.until(lambda: False)


def test_a_job_waits_until_the_plugins_that_came_before_it_are_loaded(yard: Yard) -> None:
    yard.start()
    yard.crew.learns("cats")
    yard.crew.says_of_plugins()  # not a word
    drop(yard, "mine.py", "good")
    yard.queue("cats")
    yard.dispatcher.tick()
    assert (yard.slots[0].ready, yard.slots[0].lease) == (False, None)

    yard.dispatcher.hear(yard.child(), loaded(MINE))
    yard.until_state("cats", TaskState.LEARNED)


def test_a_worker_at_a_job_finishes_it_first(yard: Yard) -> None:
    yard.start()
    yard.crew.will("cats", "hang")
    yard.queue("cats")
    yard.until_begun("cats")
    yard.crew.says_of_plugins(loaded(MINE))
    drop(yard, "mine.py", "good")
    yard.dispatcher.tick()
    assert (yard.slots[0].ready, yard.journal.plugins()) == (True, ())

    out = yard.slots[0].out
    assert out is not None
    (out / "result.json").write_text(json.dumps({"status": "failed", "reason": "no algorithm can"}))
    yard.dispatcher.hear(yard.child(), {"done": str(out / "result.json")})
    yard.until(lambda: len(yard.journal.plugins()) == 1)


def test_a_plugin_that_kills_the_worker_that_loads_it_is_kept_away_and_no_job_is_blamed(yard: Yard) -> None:
    yard.crew.learns("cats")
    yard.start()
    file = drop(yard, "evil.py", "evil")
    yard.crew.says_of_plugins(importing("evil", str(file)))
    yard.queue("cats")
    yard.until(lambda: yard.slots[0].importing is not None)
    yard.child().kill()
    yard.until_state("cats", TaskState.LEARNED)

    assert [plugin.name for plugin in yard.crew.barred[-1]] == ["evil"]
    assert [strike.count for strike in Strikes(yard.journal).all()] == [1]
    outcomes = [row["outcome"] for row in yard.journal.db.all("SELECT outcome FROM attempts")]
    assert outcomes == ["done"]


def test_one_that_holds_the_worker_up_is_kept_away_until_it_changes(make_yard: MakeYard) -> None:
    yard = make_yard(worker__start_seconds="30")
    yard.start()
    file = drop(yard, "sleepy.py", "sleepy")
    yard.crew.says_of_plugins(importing("sleepy", str(file)))
    yard.until(lambda: yard.slots[0].importing is not None)
    yard.pass_by(31)
    yard.until(lambda: yard.slots[0].ready)
    (barred,) = yard.crew.barred[-1]
    assert "did not load the plugins within 30 s" in barred.reason

    yard.crew.says_of_plugins(loaded(MINE))
    drop(yard, "sleepy.py", "wide awake")
    yard.until(lambda: len(yard.journal.plugins()) == 1)
    assert Strikes(yard.journal).barred("import") == ()
    assert len(yard.crew.started) == 2


# --- surveys ----------------------------------------------------------------------------------------------------------


def surveyed(yard: Yard) -> list[int]:
    return [version for version, _ in yard.journal.surveys.all()]


def test_when_nothing_waits_the_knowledge_is_surveyed_once(make_yard: MakeYard) -> None:
    yard = make_yard(knowledge__survey_tasks="5")
    told = to_json(Surveyed("cats", "leave-one-out", "1101"))
    digest = hashlib.sha256(b"a head").hexdigest()
    said = {"status": "done", "surveyed": [told], "files": {"head.safetensors": digest}}
    yard.crew.leaves("survey", said, {"head.safetensors": b"a head"})
    yard.crew.learns("cats")
    yard.queue("cats")
    yard.start()
    yard.until(lambda: yard.dispatcher.settled and yard.row("cats").state == TaskState.LEARNED)
    assert surveyed(yard) == [1]
    assert yard.generations.head_file() == HeadFile(str(yard.generations.tasks.parent / "head.safetensors"), digest)
    yard.dispatcher.tick()
    assert yard.jobs_begun() == ["export", "learn", "survey"]
    assert list(yard.generations.work.iterdir()) == []


def test_a_job_that_comes_makes_a_survey_make_way_and_is_learnt_first(make_yard: MakeYard) -> None:
    yard = make_yard(knowledge__survey_tasks="5")
    yard.crew.will("survey", "hang")  # until it is told to make way
    yard.crew.leaves("dropped", {"status": "dropped", "reason": "something else is to be done"}, {})
    for name in ("cats", "dogs"):
        yard.crew.learns(name)
    yard.queue("cats")
    yard.start()
    yard.until(lambda: "survey" in yard.jobs_begun())
    yard.queue("dogs", digest="00000008")
    yard.until_state("dogs", TaskState.LEARNED)
    assert yard.jobs_begun()[:4] == ["export", "learn", "survey", "learn"]
    assert len(yard.crew.started) == 1  # the worker stayed: none had to be started for the job
    assert surveyed(yard) == []


def test_a_survey_that_kills_its_worker_costs_nothing_but_that(make_yard: MakeYard) -> None:
    yard = make_yard(knowledge__survey_tasks="5")
    yard.crew.will("survey", "die")
    for name in ("cats", "dogs"):
        yard.crew.learns(name)
    yard.queue("cats")
    yard.start()
    yard.until(lambda: len(yard.stages_said("warning")) > 0)
    assert yard.dispatcher.settled  # it is not tried again for this version
    assert yard.row("cats").state == TaskState.LEARNED
    yard.clock.ahead += 60
    yard.queue("dogs", digest="00000008")
    yard.until_state("dogs", TaskState.LEARNED)
    assert surveyed(yard) == []
