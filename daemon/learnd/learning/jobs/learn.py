"""A learn job from end to end: read, embed, choose the backbone's adapter, route, adapt, evaluate, save.

It only writes candidate files under spec.out; whether they become knowledge is decided elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from learnd.errors import LearndError, TaskError
from learnd.identity import sha256_of
from learnd.learning.contract.algorithm import Context, Support
from learnd.learning.contract.options import options_of
from learnd.learning.jobs.adapt import Adapted, Query, adapt_best
from learnd.learning.jobs.adapter_choice import Choice, choose_adapter
from learnd.learning.jobs.algorithm_choice import Contest, route
from learnd.learning.jobs.classification_errors import Marks, confusions, mistakes
from learnd.learning.jobs.read_task import Changed, Part, Reading, Rejected, read_task
from learnd.learning.jobs.worker_context import Progress, Stopwatch, WorkerContext
from learnd.learning.knowledge import class_statistics, exemplars, held_out
from learnd.learning.knowledge.held_out import HeldOut
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import IMAGES_PER_PASS, Backbone
from learnd.learning.networks.tensor_file import write_tensors
from learnd.learning.plugin_host.catalogue import Catalogue
from learnd.messages.convert import to_json
from learnd.messages.jobs import LearnSpec
from learnd.messages.outcomes import Outcome, OutcomeStatus
from learnd.messages.report import MeasuredOn, Report
from learnd.messages.state_files import (
    ADAPTED_FILE,
    EXEMPLARS_FILE,
    HELD_OUT_FEATURES_FILE,
    HELD_OUT_IMAGES_FILE,
    REPORT_FILE,
    STATISTICS_FILE,
    AdaptedNote,
)
from learnd.messages.task import Task


def learn(spec: LearnSpec, worker: WorkerContext, progress: Progress) -> Outcome:
    """Do a learn job.

    Whatever is wrong with the folder, or with a plugin, is in the outcome.  Raises only where learnd or the
    machine is to blame (no space left, no memory left).
    """
    try:
        return _learn(spec, worker, progress)
    except Changed as error:
        return Outcome(OutcomeStatus.CHANGED, reason=str(error))
    except Rejected as error:
        return Outcome(OutcomeStatus.REJECTED, reason=error.what, problems=error.problems)
    except LearndError as error:
        return Outcome(OutcomeStatus.FAILED, reason=str(error))


def _learn(spec: LearnSpec, worker: WorkerContext, progress: Progress) -> Outcome:
    watch, plain = Stopwatch(progress), worker.backbone
    ctx = Context(torch.Generator().manual_seed(spec.seed), log=worker.log)
    with watch.stage("read"):
        reading = read_task(spec, plain.preprocess, worker.threads, progress, worker.catalogue.readers)
    with watch.stage("embed"):
        support = _support(reading, plain, progress)
        seen = {IDENTITY: plain.embed(reading.query.images)}  # (M, D), of the query
    known = class_statistics.statistics(support.features, support.labels, reading.classes)
    with watch.stage("choose"):
        choice = choose_adapter(plain, support.images, support.features, support.labels, ctx)
        backbone = plain.adapted(choice.adapter)
        if backbone is not plain:
            support = _support(reading, backbone, progress)
            adapted_too = class_statistics.statistics(support.features, support.labels, reading.classes)
            known = replace(known, adapted=replace(adapted_too, adapter=choice.adapter))
            seen[choice.adapter] = backbone.embed(reading.query.images)
    task = _task(spec, reading, backbone)
    _check_pin(spec, worker.catalogue)
    with watch.stage("route"):
        contest = Contest(worker.catalogue.algorithms, spec.routing, progress)
        chosen = route(task, backbone, support, contest, ctx)
    query = Query(reading.query, seen[choice.adapter])
    adapted = adapt_best(chosen, replace(worker, backbone=backbone), support, query, ctx, watch)
    progress("save", 0, 1)
    with watch.stage("save"):
        held = HeldOut(reading.classes, reading.query.labels, seen)
        files = _save(spec, reading, known, held, worker, adapted)
    report = _report(spec, _Learned(task, reading, backbone, choice, adapted), watch)
    (Path(spec.out) / REPORT_FILE).write_text(json.dumps(to_json(report), indent=1))
    files[REPORT_FILE] = sha256_of(Path(spec.out) / REPORT_FILE)
    return Outcome(OutcomeStatus.DONE, report=report, files=files)


def _check_pin(spec: LearnSpec, catalogue: Catalogue) -> None:
    """Raises TaskError if the algorithm that task.yaml asks for is there and cannot be used."""
    pin = spec.options.algorithm
    unfit = None if pin is None else catalogue.unfit(pin)
    if unfit is not None:
        why = f" ({unfit.reason.splitlines()[0]})" if unfit.reason else ""
        what = f"{pin!r}, which task.yaml asks for, is {unfit.state}{why}"
        raise TaskError(what, where=spec.name, remedy=f"learnd plugins info {pin}")


def _support(reading: Reading, backbone: Backbone, progress: Progress) -> Support:
    images = reading.support.images.to(backbone.device)
    features: list[Tensor] = []
    for start in range(
        0, len(images), IMAGES_PER_PASS
    ):  # IMAGES_PER_PASS as embed itself takes them: the bits are the same
        progress("embed", start, len(images))
        features.append(backbone.embed(images[start : start + IMAGES_PER_PASS]))
    labels = reading.support.labels.to(backbone.device)
    return Support(images, torch.cat(features), labels, len(reading.classes))


def _task(spec: LearnSpec, reading: Reading, backbone: Backbone) -> Task:
    return Task(
        id=spec.id,
        name=spec.name,
        revision=spec.revision,
        classes=reading.classes,
        shots=tuple(torch.bincount(reading.support.labels).tolist()),
        queries=len(reading.query.labels),
        options=spec.options,
        backbone=backbone.name,
        features=backbone.features,
        macs=backbone.macs,
        device=str(backbone.device),
        meta_learnt=tuple(sorted(backbone.meta)),
    )


def _save(
    spec: LearnSpec,
    reading: Reading,
    known: class_statistics.Statistics,
    held: HeldOut,
    worker: WorkerContext,
    adapted: Adapted,
) -> dict[str, str]:
    """Write the candidate's files; file name -> sha256."""
    out, backbone_hash = Path(spec.out), worker.backbone.hash
    algorithm, adapter = adapted.algorithm, known.adapted.adapter if known.adapted else IDENTITY
    note = AdaptedNote(algorithm.name, options_of(algorithm), reading.classes, backbone_hash, adapter)
    write_tensors(adapted.state, out / ADAPTED_FILE, note.metadata())
    class_statistics.save(known, out / STATISTICS_FILE, backbone_hash)
    names = [ADAPTED_FILE, STATISTICS_FILE, EXEMPLARS_FILE]
    parts = {EXEMPLARS_FILE: reading.support.files}
    if len(held.labels):
        held_out.save(held, out / HELD_OUT_FEATURES_FILE, backbone_hash)
        parts[HELD_OUT_IMAGES_FILE] = reading.query.files
        names += [HELD_OUT_FEATURES_FILE, HELD_OUT_IMAGES_FILE]
    try:
        for name, files in parts.items():
            exemplars.write(exemplars.choose(files, spec.exemplars_per_class), out / name, worker.catalogue.readers)
    except FileNotFoundError as error:
        raise Changed(str(error), where=spec.name) from error
    return {name: sha256_of(out / name) for name in names}


@dataclass(frozen=True)
class _Learned:
    """What the stages of a job came to."""

    task: Task
    reading: Reading
    backbone: Backbone
    choice: Choice
    adapted: Adapted


def _report(spec: LearnSpec, learned: _Learned, watch: Stopwatch) -> Report:
    task, reading, adapted = learned.task, learned.reading, learned.adapted
    marks, part, measured_on = _measured(adapted, reading)
    hits, tries = (marks.hits, marks.tries) if marks else (0, 0)
    asked = torch.bincount(marks.right, minlength=task.ways).tolist() if marks else []
    files = [file.path.relative_to(spec.folder).as_posix() for file in part.files]
    return Report(
        task=spec.name,
        id=spec.id,
        revision=spec.revision,
        digest=spec.digest,
        classes=reading.classes,
        images=task.images,
        queries=task.queries,
        algorithm=adapted.algorithm.name,
        candidates=adapted.chosen.candidates,
        accuracy=hits / tries if tries else None,
        accuracy_ci=wilson(hits, tries) if tries else None,
        measured_on=measured_on,
        measured_images=tries,
        transductive=adapted.algorithm.transductive,
        backbone=learned.backbone.name,
        backbone_hash=learned.backbone.hash,
        device=str(learned.backbone.device),
        seed=spec.seed,
        seconds=watch.seconds,
        domain=spec.options.domain,
        description=spec.options.description,
        adapter=learned.choice.adapter,
        adapters=learned.choice.scores,
        stages=dict(watch.stages),
        asked=tuple(asked),
        confusions=confusions(marks, reading.classes) if marks else (),
        mistakes=mistakes(marks, reading.classes, files) if marks else (),
    )


def _measured(adapted: Adapted, reading: Reading) -> tuple[Marks | None, Part, MeasuredOn | None]:
    """What was measured, of which images: the query if there is one, else the routing's cross-validation."""
    if adapted.marks is not None:
        return adapted.marks, reading.query, MeasuredOn.QUERY
    crossed = adapted.chosen.measured
    return (crossed.marks if crossed else None), reading.support, MeasuredOn.CROSS_VALIDATION if crossed else None


def wilson(hits: int, tries: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % score interval of hits / tries (Wilson 1927); honest for few tries and near 0 and 1."""
    share, spread = hits / tries, z * z / tries
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / tries + spread / (4 * tries)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
