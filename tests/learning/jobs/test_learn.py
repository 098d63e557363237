"""A learn job gives all the files of a candidate and an honest report, or says who is to blame."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.jobs.learn import learn, wilson
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.knowledge import class_statistics
from learnd.messages.convert import from_json, to_json
from learnd.messages.outcomes import Outcome
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.messages.report import Report
from learnd.messages.state_files import ADAPTED_FILE, EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE, REPORT_FILE, STATISTICS_FILE
from learnd.messages.task import TaskOptions
from tests.learning.drawn import stripes_task
from tests.learning.specs import learn_spec
from tests.learning.worker_contexts import Fragile, NearestMean, adaptable_worker, worker_context

STATISTICS = STATISTICS_FILE
FILES = {ADAPTED_FILE, STATISTICS, EXEMPLARS_FILE, REPORT_FILE}


def silent(stage: str, done: int, total: int, algorithm: str = "", /) -> None: ...


def learnt(tmp_path: Path, *algorithms: Algorithm, options: TaskOptions | None = None) -> tuple[Outcome, WorkerContext]:
    """Stripes learnt by some algorithms, and the worker they were learnt on."""
    worker = worker_context(tmp_path, *algorithms)
    folder = stripes_task(tmp_path / "task", shots=5, ways=3)
    return learn(learn_spec(folder, tmp_path / "out", options), worker, silent), worker


def report_of(outcome: Outcome) -> Report:
    assert outcome.report is not None, outcome.reason
    return outcome.report


def test_every_file_of_the_candidate_is_there_with_its_hash(tmp_path: Path) -> None:
    outcome, _ = learnt(tmp_path)
    assert outcome.status == "done"
    assert set(outcome.files) == FILES
    for name, digest in outcome.files.items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest


def test_the_report_says_what_was_done(tmp_path: Path) -> None:
    said = TaskOptions(domain="textiles", description="stripes, by hand")
    outcome, worker = learnt(tmp_path, options=said)
    report = report_of(outcome)
    assert (report.domain, report.description) == ("textiles", "stripes, by hand")
    assert (report.algorithm, report.images, report.queries) == ("nearest_mean", 15, 0)
    assert (report.backbone, report.backbone_hash) == ("conv4", worker.backbone.hash)
    assert [candidate.outcome for candidate in report.candidates] == ["chosen"]
    assert set(report.stages) == {"read", "embed", "choose", "route", "adapt", "evaluate", "save"}
    assert sum(report.stages.values()) <= report.seconds
    assert from_json(Report, json.loads((tmp_path / "out" / REPORT_FILE).read_text())) == report


def test_without_a_query_the_accuracy_is_cross_validated(tmp_path: Path) -> None:
    report = report_of(learnt(tmp_path)[0])
    assert (report.measured_on, report.measured_images) == ("cross-validation", 15)
    assert report.accuracy is not None
    assert report.accuracy > 0.6
    low, high = report.accuracy_ci or (1.0, 0.0)
    assert low < report.accuracy <= high


def test_held_out_images_are_measured_with_and_never_learnt(tmp_path: Path) -> None:
    outcome, worker = learnt(tmp_path, options=TaskOptions(holdout=0.2))
    report = report_of(outcome)
    assert (report.images, report.queries, report.measured_on, report.measured_images) == (12, 3, "query", 3)
    known = class_statistics.load(tmp_path / "out" / STATISTICS, worker.backbone.hash, outcome.files[STATISTICS])
    assert known.count.tolist() == [4, 4, 4]
    with zipfile.ZipFile(tmp_path / "out" / EXEMPLARS_FILE) as archive:
        assert len(archive.namelist()) == 12
    with zipfile.ZipFile(tmp_path / "out" / HELD_OUT_IMAGES_FILE) as archive:
        assert [name.split("/")[0] for name in archive.namelist()] == ["at 0", "at 120", "at 60"]


def test_the_adapted_state_says_how_to_use_it(tmp_path: Path) -> None:
    _, worker = learnt(tmp_path, NearestMean(sharpness=2.0))
    with safe_open(tmp_path / "out" / ADAPTED_FILE, framework="pt") as opened:
        note = opened.metadata()
        assert opened.get_tensor("means").shape == (3, 256)
    assert note["algorithm"] == "nearest_mean"
    assert json.loads(note["options"]) == {"sharpness": 2.0}
    assert json.loads(note["classes"]) == ["at 0", "at 120", "at 60"]
    assert note["backbone_hash"] == worker.backbone.hash


@pytest.mark.parametrize(("radius", "adapter"), [(2.0, "drawn"), (0.0, "identity")])
def test_a_task_uses_the_adapter_that_its_support_calls_for(radius: float, adapter: str, tmp_path: Path) -> None:
    worker = adaptable_worker(tmp_path, radius)
    outcome = learn(learn_spec(stripes_task(tmp_path / "task", shots=1), tmp_path / "out"), worker, silent)
    report = report_of(outcome)
    assert report.adapter == adapter
    assert [(score.adapter, score.near) for score in report.adapters] == [("identity", 0.0), ("drawn", radius / 2)]
    assert from_json(Report, json.loads((tmp_path / "out" / REPORT_FILE).read_text())) == report
    known = class_statistics.load(tmp_path / "out" / STATISTICS, worker.backbone.hash, outcome.files[STATISTICS])
    with safe_open(tmp_path / "out" / ADAPTED_FILE, framework="pt") as opened:
        assert opened.metadata()["adapter"] == adapter
        width = opened.get_tensor("means").shape[1]
    assert width == worker.backbone.adapted(adapter).features
    assert known.sum.shape[1] == 1280  # whatever it uses, it is remembered in the plain features
    assert (known.adapted.sum.shape[1] if known.adapted else 1280) == width


def test_the_same_job_gives_the_same_knowledge_bit_for_bit(tmp_path: Path) -> None:
    worker = worker_context(tmp_path)
    folder = stripes_task(tmp_path / "task")
    outs = [tmp_path / name for name in ("one", "two")]
    for out in outs:
        assert learn(learn_spec(folder, out), worker, silent).status == "done"
    for name in (ADAPTED_FILE, STATISTICS_FILE):
        first, second = (load_file(out / name) for out in outs)
        assert all(first[key].equal(second[key]) for key in first)
    assert len({(out / EXEMPLARS_FILE).read_bytes() for out in outs}) == 1


@pytest.mark.usefixtures("deaf_to_ctrl_c")
@pytest.mark.parametrize("where", ["adapt", "interrupt", "state", "predict"])
def test_where_the_chosen_one_fails_the_next_best_learns(where: str, tmp_path: Path) -> None:
    report = report_of(learnt(tmp_path, Fragile(breaks_in=where), NearestMean())[0])
    assert report.algorithm == "nearest_mean"
    outcomes = {candidate.algorithm: candidate for candidate in report.candidates}
    assert outcomes["fragile"].outcome == "failed"
    assert outcomes["fragile"].reason
    assert outcomes["nearest_mean"].outcome == "chosen"
    assert report.accuracy == outcomes["nearest_mean"].accuracy is not None


def test_with_all_algorithms_broken_the_job_fails_with_every_reason(tmp_path: Path) -> None:
    outcome, _ = learnt(tmp_path, Fragile())
    assert outcome.status == "failed"
    assert "by nought" in outcome.reason


def test_with_no_memory_for_any_algorithm_the_machine_is_to_blame_and_the_job_is_not_over(tmp_path: Path) -> None:
    with pytest.raises(MemoryError, match=r"fragile: torch\.OutOfMemoryError: no room"):
        learnt(tmp_path, Fragile(breaks_in="memory"))


def test_where_one_runs_out_of_memory_the_next_best_learns(tmp_path: Path) -> None:
    report = report_of(learnt(tmp_path, Fragile(breaks_in="memory"), NearestMean())[0])
    told = {candidate.algorithm: (candidate.outcome, candidate.reason) for candidate in report.candidates}
    assert told["fragile"] == ("out of memory", "torch.OutOfMemoryError: no room")
    assert told["nearest_mean"] == ("chosen", "fragile ran out of memory")


def test_an_algorithm_that_there_is_not(tmp_path: Path) -> None:
    outcome, _ = learnt(tmp_path, options=TaskOptions(algorithm="nearest_meen"))
    assert outcome.status == "failed"
    assert "nearest_mean" in outcome.reason


def test_an_algorithm_that_is_quarantined_is_called_that(tmp_path: Path) -> None:
    worker = worker_context(tmp_path)
    wild = PluginInfo("wild", "wild.py", PluginState.QUARANTINED, "was at work when a worker was lost\n  trace")
    spec = learn_spec(stripes_task(tmp_path / "task"), tmp_path / "out", TaskOptions(algorithm="wild"))
    outcome = learn(spec, replace(worker, catalogue=worker.catalogue.adding(wild)), silent)
    why = "'wild', which task.yaml asks for, is quarantined (was at work when a worker was lost)"
    assert (outcome.status, outcome.reason) == ("failed", f"letters: {why}\n  -> learnd plugins info wild")


def test_a_folder_that_changed_is_said_so(tmp_path: Path) -> None:
    folder = stripes_task(tmp_path / "task")
    spec = learn_spec(folder, tmp_path / "out")
    (folder / "at 0" / "0.png").unlink()
    assert learn(spec, worker_context(tmp_path), silent).status == "changed"


def test_an_outcome_survives_json(tmp_path: Path) -> None:
    outcome, _ = learnt(tmp_path)
    assert from_json(Outcome, json.loads(json.dumps(to_json(outcome)))) == outcome


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_wilson_interval_of_the_books(hits: int, tries: int, low: float, high: float) -> None:
    assert wilson(hits, tries) == pytest.approx((low, high), abs=1e-4)
