"""A survey job: how well is each task classified among everything that is known now?  One row of the matrix R[i, j].

If a task has held-out images their kept features are asked about; else every image that it remembers as it is, each
left out in turn in closed form.  And what is each task like?  No image is decoded, and no plugin is called.  A survey
makes way for any other job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from learnd.errors import LearndError, StateError, StateUnavailable
from learnd.identity import sha256_of
from learnd.learning.jobs.worker_context import Progress, WorkerContext
from learnd.learning.knowledge import held_out
from learnd.learning.knowledge.class_statistics import Statistics
from learnd.learning.knowledge.classifier import UnifiedHead
from learnd.learning.knowledge.classifier_cache import HeadKeeper, statistics_of
from learnd.learning.knowledge.classifier_file import save_head
from learnd.learning.knowledge.grouped_classifier import GroupedHead
from learnd.learning.knowledge.similarity import TaskRelations
from learnd.learning.networks.adapters import IDENTITY
from learnd.messages.jobs import SurveySpec
from learnd.messages.outcomes import Outcome, OutcomeStatus, Related, Surveyed
from learnd.messages.report import MeasuredOn
from learnd.messages.state_files import CLASSIFIER_FILE, HELD_OUT_FEATURES_FILE

QUESTIONS = 256  # of a task at most, evenly spread over its classes


class _MakeWay(LearndError):
    """Something else is to be done."""


def survey(
    spec: SurveySpec,
    worker: WorkerContext,
    progress: Progress,
    dropped: Callable[[], bool],
    keeper: HeadKeeper | None = None,
) -> Outcome:
    """Do a survey job, and leave the head ready made beside it.

    dropped: whether it is to make way; asked before every step, each of which is short.  keeper: of the process.
    """
    try:
        progress("survey", 0, 1)
        head = (keeper or HeadKeeper()).head_of(spec.members, worker.backbone, check=lambda: _go_on(dropped))
        surveyed = _ask_each(spec, head, worker, dropped)
        related = _relate_each(spec, head, dropped)
        path = Path(spec.out) / CLASSIFIER_FILE
        save_head(head, spec.members, path, worker.backbone.hash)
        return Outcome(OutcomeStatus.DONE, files={CLASSIFIER_FILE: sha256_of(path)}, surveyed=surveyed, related=related)
    except _MakeWay as error:
        return Outcome(OutcomeStatus.DROPPED, reason=str(error))
    except StateError as error:
        return Outcome(
            OutcomeStatus.FAILED if isinstance(error, StateUnavailable) else OutcomeStatus.DAMAGED, reason=str(error)
        )


def _go_on(dropped: Callable[[], bool]) -> None:
    if dropped():
        raise _MakeWay("something else is to be done")


def _ask_each(
    spec: SurveySpec, head: GroupedHead, worker: WorkerContext, dropped: Callable[[], bool]
) -> tuple[Surveyed, ...]:
    members = {member.id: member for member in spec.members}
    found: list[Surveyed] = []
    for asked in spec.asked:
        _go_on(dropped)
        member = members[asked.id]
        if asked.heldout is not None:
            held = held_out.load(Path(member.folder) / HELD_OUT_FEATURES_FILE, worker.backbone.hash, asked.heldout)
            found.append(Surveyed(member.id, MeasuredOn.QUERY, _bits(ask_held_out(head, member.name, held))))
        elif len(correct := leave_one_out(head, member.name, statistics_of(member, worker.backbone))):
            found.append(Surveyed(member.id, MeasuredOn.LEAVE_ONE_OUT, _bits(correct)))
    return tuple(found)


def _relate_each(spec: SurveySpec, head: GroupedHead, dropped: Callable[[], bool]) -> tuple[Related, ...]:
    """What each of those that are asked about is like."""
    names, relations = {member.id: member.name for member in spec.members}, TaskRelations(head)
    found = []
    for asked in spec.asked:
        _go_on(dropped)
        name = names[asked.id]
        found.append(Related(asked.id, relations.nearest(name), relations.twins(name)))
    return tuple(found)


def ask_held_out(head: GroupedHead, task: str, held: held_out.HeldOut) -> Tensor:
    """Which of at most QUESTIONS held-out images of a task are classified correctly among all classes: bool (M,)."""
    rows = _spread(held.labels)
    features = {adapter: value[rows] for adapter, value in held.features.items()}
    within = {
        adapter: group.head.log_posterior(features[adapter])
        for adapter, group in head.groups.items()
        if adapter in features
    }
    answer = head.combined(head.plain.log_posterior(features[IDENTITY]), within)  # (M, J)
    return answer.argmax(1) == head.places[held.labels[rows] + _first(head.plain, task)]


def leave_one_out(head: GroupedHead, task: str, own: Statistics) -> Tensor:
    """Which of the images that a task keeps one by one would be classified correctly, each as if not learnt.

    bool (M,), at most QUESTIONS, of classes with another image.  Of groups that use an adapter which the task does
    not, the plain features say which class: under theirs its images are not remembered.
    """
    own = _aligned(own)
    rows = _spread(own.owners[own.count[own.owners] > 1])
    plain, owners = head.plain.left_out(_thinned(own, rows), _first(head.plain, task))
    within: Mapping[str, Tensor] = {}
    if own.adapted is not None:
        group = head.groups[own.adapted.adapter]
        within = {own.adapted.adapter: group.head.left_out(_thinned(own.adapted, rows), _first(group.head, task))[0]}
    return head.combined(plain, within).argmax(1) == head.places[owners]


def _aligned(own: Statistics) -> Statistics:
    """With the same witnesses in both kinds of features: the wider ones may remember more images of a class."""
    if own.adapted is None:
        return own
    both = (own, own.adapted)
    least = torch.stack([one.owners.bincount(minlength=len(one.classes)) for one in both]).amin(0)  # (K,)
    plain, adapted = (_first_of_each(one, least) for one in both)
    return replace(plain, adapted=adapted)


def _first_of_each(own: Statistics, least: Tensor) -> Statistics:
    """With so many witnesses of each class (K,), the first; they lie class by class."""
    held = own.owners.bincount(minlength=len(least))
    number = torch.arange(len(own.owners)) - (held.cumsum(0) - held)[own.owners]  # (M,) of each in its class
    rows = number < least[own.owners]
    return replace(own, witnesses=own.witnesses[rows], owners=own.owners[rows])


def _thinned(own: Statistics, rows: Tensor) -> Statistics:
    """With these witnesses alone, of those whose class has another image."""
    many = (own.count[own.owners] > 1).nonzero()[:, 0][rows]
    return replace(own, witnesses=own.witnesses[many], owners=own.owners[many])


def _spread(labels: Tensor) -> Tensor:
    """At most QUESTIONS row numbers, evenly spread over all, class by class: int64, ascending within a class."""
    order = labels.argsort(stable=True)
    if len(order) <= QUESTIONS:
        return order
    return order[torch.arange(QUESTIONS) * len(order) // QUESTIONS]


def _first(head: UnifiedHead, task: str) -> int:
    """The place of a task's first class; the others follow in the order of its own."""
    return next(place for place, (name, _) in enumerate(head.classes) if name == task)


def _bits(correct: Tensor) -> str:
    return "".join("01"[int(one)] for one in correct)
