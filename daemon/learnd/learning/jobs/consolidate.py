"""A consolidate job: train a candidate network on what is remembered, refit every task with it, measure both.

It only writes candidate files under spec.out; whether the knowledge moves to them is decided elsewhere.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from learnd.errors import LearndError, StateError, StateUnavailable, TaskError
from learnd.identity import sha256_of
from learnd.learning.contract.meta_learner import MetaLearner
from learnd.learning.jobs.candidate_network import LEARNER, Candidate, Lesson, changed_by, train_candidate
from learnd.learning.jobs.consolidated_revision import Answered, known_now, make_form
from learnd.learning.jobs.consolidation_refit import Recalled, Refitted, classified_correctly, recall, refit, see
from learnd.learning.jobs.worker_context import Progress, Stopwatch, WorkerContext
from learnd.learning.knowledge.grouped_classifier import Features, GroupedHead, grouped_head
from learnd.learning.metatraining.outer_loop import Figures, Run
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone, export
from learnd.messages.convert import to_json
from learnd.messages.jobs import ConsolidateSpec
from learnd.messages.outcomes import Consolidation, Outcome, OutcomeStatus, Paired
from learnd.messages.state_files import BACKBONE_FILE, CONSOLIDATION_FILE

T = TypeVar("T")
FeaturesByTask = Mapping[str, Features]  # task id -> all its images
Hits = Mapping[str, tuple[tuple[bool, ...], tuple[bool, ...]]]  # task id -> (scoped, unified)
Train = Callable[[Backbone, MetaLearner | None, Sequence[Lesson], int, int, Run], Candidate]


class Stopped(Exception):
    """Something is to be learnt: the consolidation makes way."""


@dataclass(frozen=True)
class Pace:
    """How the job goes on: it tells how far it is, and asks before each task and each step whether it is to end."""

    stop: Path
    progress: Progress

    def each(self, stage: str, items: Sequence[T]) -> Iterator[T]:
        """The items one by one.  Raises Stopped."""
        for number, item in enumerate(items):
            self.check()
            self.progress(stage, number, len(items))
            yield item

    def run(self) -> Run:
        """A training at this pace."""

        def watch(event: Figures | ValidationScore) -> None:
            if isinstance(event, Figures):
                self.progress("train", event.step, event.steps)

        return Run(watch=watch, stop=self.stop.exists)

    def check(self) -> None:
        if self.stop.exists():
            raise Stopped


def consolidate(
    spec: ConsolidateSpec, worker: WorkerContext, progress: Progress, train: Train = train_candidate
) -> Outcome:
    """Do a consolidate job.  train: makes the candidate.

    Raises only where learnd or the machine is to blame, as `learn` does.
    """
    try:
        made = _consolidate(spec, worker, Pace(Path(spec.stop), progress), train)
    except Stopped:
        return Outcome(OutcomeStatus.STOPPED, reason="something is to be learnt")
    except StateError as error:
        return Outcome(
            OutcomeStatus.FAILED if isinstance(error, StateUnavailable) else OutcomeStatus.DAMAGED, reason=str(error)
        )
    except LearndError as error:
        return Outcome(OutcomeStatus.FAILED, reason=str(error))
    path = Path(spec.out) / CONSOLIDATION_FILE
    path.write_text(json.dumps(to_json(made), indent=1))
    return Outcome(OutcomeStatus.DONE, files={path.name: sha256_of(path), BACKBONE_FILE: made.backbone_sha256})


def _consolidate(spec: ConsolidateSpec, worker: WorkerContext, pace: Pace, train: Train) -> Consolidation:
    watch, out = Stopwatch(pace.progress), Path(spec.out)
    becomes = {member.id: revision for member, revision in zip(spec.members, spec.becomes, strict=True)}
    members = sorted(spec.members, key=lambda member: member.id)
    tasks = [recall(member, worker) for member in pace.each("recall", members)]
    lessons = [_lesson(task) for task in tasks if not task.missing]
    changes = changed_by(worker.backbone, (lesson.adapter for lesson in lessons))
    for task in tasks:
        _require_enough(task, changes, spec.trimmed)
    candidate = train(worker.backbone, _learner(worker), lessons, spec.steps, spec.seed, pace.run())
    pace.check()
    if candidate.backbone.hash == worker.backbone.hash:
        raise TaskError("the training has changed nothing", remedy="ask for more: learnd consolidate --steps N")
    export(candidate.backbone, out / BACKBONE_FILE)
    moved = replace(worker, backbone=candidate.backbone)
    used = sorted({task.scoped.adapter for task in tasks} - {IDENTITY})
    seen = {task.member.id: see(task, worker.backbone, used) for task in pace.each("embed", tasks)}
    same = {} if IDENTITY in candidate.changed else {key: features[IDENTITY] for key, features in seen.items()}
    bare = {task.member.id for task in tasks if task.missing}  # what they know is taken over
    losers = {task.member.id for task in tasks if _loses_images(task, candidate)}
    before = _measure("measure", tasks, seen, worker, pace, bare | losers)
    seen = {t.member.id: see(t, moved.backbone, used, same.get(t.member.id)) for t in pace.each("embed again", tasks)}
    after = _measure("measure again", tasks, seen, moved, pace, bare)
    forms = tuple(
        make_form(
            task,
            becomes[task.member.id],
            Answered(seen[task.member.id], after[task.member.id][0]),
            candidate,
            moved,
            out,
        )
        for task in pace.each("refit", tasks)
    )
    return Consolidation(
        parent=spec.parent,
        backbone_hash=candidate.backbone.hash,
        backbone_sha256=sha256_of(out / BACKBONE_FILE),
        learners=candidate.learners,
        forms=forms,
        judged=tuple(Paired(t.member.name, *_crossed(before[t.member.id], after[t.member.id])) for t in tasks),
        macs_before=_macs(worker.backbone),
        macs_after=_macs(candidate.backbone),
        bytes_before=_weight(worker.backbone) + sum(_size(Path(task.member.folder)) for task in tasks),
        bytes_after=_weight(candidate.backbone) + sum(_size(out / form.folder) for form in forms),
        seconds=watch.seconds,
    )


def _learner(worker: WorkerContext) -> MetaLearner | None:
    found = worker.catalogue.algorithms.get(LEARNER)
    return found if isinstance(found, MetaLearner) else None


def _lesson(task: Recalled) -> Lesson:
    """What the training may see: no held-out sample."""
    rows = task.remembered
    return Lesson(task.member.id, task.scoped.adapter, task.images[rows], task.labels[rows])


def _require_enough(task: Recalled, changes: Collection[str], trimmed: Collection[str]) -> None:
    """Raises TaskError if a task must be refitted and too few of its images are left to fit or to measure it."""
    if not {IDENTITY, task.scoped.adapter} & set(changes):
        return
    what = ""
    if task.missing:
        what = f"no image of its class {task.missing[0]!r} is kept, so it cannot be refitted"
    elif task.member.id in trimmed and not len(task.held_out):
        what = f"{len(task.support)} of its images are left, and none can be held out to measure what it would lose"
    if what:
        name = shlex.quote(task.member.name)
        remedy = f"raise memory.max_bytes, and learn it again: learnd forget {name} && learnd retry {name}"
        raise TaskError(what, where=task.member.name, remedy=remedy)


def _loses_images(task: Recalled, candidate: Candidate) -> bool:
    """Whether a task that must be refitted learnt from more images than are kept."""
    changed = candidate.changed & {IDENTITY, task.scoped.adapter}
    return bool(changed) and len(task.support) < int(known_now(task).count.sum())


def _measure(
    stage: str,
    tasks: Sequence[Recalled],
    seen: FeaturesByTask,
    worker: WorkerContext,
    pace: Pace,
    as_they_are: Collection[str] = (),
) -> Hits:
    """Fit every task on its remembered images, and classify its held-out samples.

    as_they_are: ids of the tasks that are measured with what serves now.  That was fitted on images that are gone
    (and, for a task without a held-out set, on the samples themselves); the candidate must match it all the same.
    """
    made: dict[str, Refitted] = {}
    for task in pace.each(stage, tasks):
        if task.member.id in as_they_are:
            made[task.member.id] = Refitted(known_now(task), task.scoped.state)
        else:
            made[task.member.id] = refit(task, task.remembered, seen[task.member.id], worker.backbone, worker)
    head: GroupedHead = grouped_head([(task.member, made[task.member.id].known) for task in tasks])
    return {
        task.member.id: classified_correctly(task, made[task.member.id], seen[task.member.id], worker.backbone, head)
        for task in tasks
    }


def _crossed(before: tuple[tuple[bool, ...], ...], after: tuple[tuple[bool, ...], ...]) -> list[tuple[bool, ...]]:
    return [before[0], after[0], before[1], after[1]]


def _macs(backbone: Backbone) -> int:
    """Multiply-adds of an image that is seen by the network and all its adapters."""
    return backbone.macs + sum(variant.macs for variant in backbone.adapters.values())


def _weight(backbone: Backbone) -> int:
    """Bytes of the tensors of the network and its adapters."""
    adapters = [v.adapter.tensors.values() for v in backbone.adapters.values() if v.adapter is not None]
    tensors: list[Tensor] = [*backbone.module.state_dict().values(), *(t for some in adapters for t in some)]
    return sum(tensor.nbytes for tensor in tensors)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
