"""A predict job: what are these images?  Among every class ever learnt, or among those of one task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from learnd.errors import LearndError, PluginError, StateError, StateUnavailable, TaskError
from learnd.identity import RESTORE
from learnd.learning.contract.algorithm import Algorithm, State
from learnd.learning.contract.options import build
from learnd.learning.jobs.adapt import classify
from learnd.learning.jobs.worker_context import Progress, WorkerContext
from learnd.learning.knowledge.classifier_cache import HeadKeeper
from learnd.learning.knowledge.grouped_classifier import Features, GroupedHead
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import IMAGES_PER_PASS, Backbone
from learnd.learning.networks.images import load_batch
from learnd.learning.networks.tensor_file import read_committed
from learnd.learning.plugin_host.catalogue import Catalogue
from learnd.messages.jobs import Member, PredictSpec
from learnd.messages.outcomes import PROBABILITY_DIGITS, Guess, Outcome, OutcomeStatus, Prediction
from learnd.messages.state_files import ADAPTED_FILE, AdaptedNote


@dataclass(frozen=True)
class Scoped:
    """One task's own adapted state, the algorithm that made it, and the adapter under which it did."""

    algorithm: Algorithm
    state: State
    classes: tuple[str, ...]
    adapter: str


@dataclass(frozen=True)
class Answers:
    """For N images among K (task, class) pairs.  log_posterior: float64 (N, K).  unknown: bool (N,)."""

    classes: tuple[tuple[str, str], ...]
    log_posterior: Tensor
    unknown: Tensor


def predict(spec: PredictSpec, worker: WorkerContext, progress: Progress, keeper: HeadKeeper | None = None) -> Outcome:
    """Do a predict job.  An image that cannot be read has its error in its place; the others are answered.

    At most IMAGES_PER_PASS images are held at a time.  keeper: of a process that does more than this.
    """
    try:
        members = _asked(spec)
        head = (keeper or HeadKeeper()).head_of(members, worker.backbone, spec.head)
        scoped = load_scoped(members[0], worker) if spec.task is not None else None
        predictions: list[Prediction] = []
        for start in range(0, len(spec.images), IMAGES_PER_PASS):
            progress("predict", start, len(spec.images))
            predictions += _predict_chunk(spec.images[start : start + IMAGES_PER_PASS], spec.top, worker, head, scoped)
        return Outcome(OutcomeStatus.DONE, predictions=tuple(predictions))
    except StateError as error:
        return Outcome(
            OutcomeStatus.FAILED if isinstance(error, StateUnavailable) else OutcomeStatus.DAMAGED, reason=str(error)
        )
    except LearndError as error:
        return Outcome(OutcomeStatus.FAILED, reason=str(error))


def _asked(spec: PredictSpec) -> tuple[Member, ...]:
    """The members that may be the answer.  Raises TaskError if there is none."""
    if spec.task is None:
        if not spec.members:
            raise TaskError("nothing has been learnt yet", remedy="drop a folder of labelled images into tasks/")
        return spec.members
    found = tuple(member for member in spec.members if spec.task in (member.name, member.id))
    if not found:
        raise TaskError(f"no task {spec.task!r} has been learnt", remedy="`learnd tasks` lists them")
    return found[:1]


def load_scoped(member: Member, worker: WorkerContext) -> Scoped:
    """A task's adapted state.  Raises StateError, or PluginError if its algorithm is not there any more."""
    path = Path(member.folder) / ADAPTED_FILE
    state, metadata = read_committed(path, member.adapted, worker.backbone.hash)
    try:
        note = AdaptedNote.read(metadata)
    except (KeyError, ValueError) as error:
        raise StateError(f"cannot be read ({error})", where=str(path), remedy=RESTORE) from error
    algorithm = _rebuild(note, worker.catalogue, member)
    return Scoped(algorithm, state, note.classes, note.adapter)


def _rebuild(note: AdaptedNote, catalogue: Catalogue, member: Member) -> Algorithm:
    """The algorithm with the options that it learnt with, whatever config.yaml says today."""
    name = note.algorithm
    present = catalogue.algorithms.get(name)
    if present is None:
        remedy = f"put the plugin back, or ask without --task: that needs no plugin; `learnd plugins info {name}`"
        raise PluginError(f"was learnt by {name!r}, which is not loaded", where=member.name, remedy=remedy)
    return build(type(present), note.options)


def _predict_chunk(
    paths: Sequence[str], top: int, worker: WorkerContext, head: GroupedHead, scoped: Scoped | None
) -> list[Prediction]:
    images, errors = _read(paths, worker)
    if len(images):
        answers = _answer(images, worker, head, scoped)
        good = iter(ranked(answers, [path for path in paths if path not in errors], top))
    else:
        good = iter(())
    return [Prediction(p, (), error=errors[p]) if p in errors else next(good) for p in paths]


def _read(paths: Sequence[str], worker: WorkerContext) -> tuple[Tensor, dict[str, str]]:
    """The images that could be read, uint8 (N, C, S, S) in order, and what was wrong with each of the others."""
    contents: list[tuple[str, bytes]] = []
    errors: dict[str, str] = {}
    for path in paths:
        try:
            contents.append((path, Path(path).read_bytes()))
        except OSError as error:
            errors[path] = f"cannot be read ({error.strerror})"
    images, failed = load_batch(contents, worker.backbone.preprocess, worker.threads, worker.catalogue.readers)
    errors.update({error.where or "": error.what for error in failed})
    return images, errors


def _answer(images: Tensor, worker: WorkerContext, head: GroupedHead, scoped: Scoped | None) -> Answers:
    features = _features(images, worker.backbone, head)
    if scoped is None:
        return answers_of(head, features)
    backbone, own = worker.backbone.adapted(scoped.adapter), features[scoped.adapter]
    logits = classify(scoped.algorithm, backbone, scoped.state, images, len(scoped.classes), own)
    task = head.plain.classes[0][0]  # of the one member
    pairs = tuple((task, name) for name in scoped.classes)
    return Answers(pairs, logits.double().log_softmax(1), head.unknown(features))


def _features(images: Tensor, backbone: Backbone, head: GroupedHead) -> Features:
    """The images as every network of the backbone's sees them that the head asks for."""
    return {adapter: backbone.adapted(adapter).embed(images) for adapter in (IDENTITY, *head.groups)}  # (N, D) each


def answers_of(head: GroupedHead, features: Features) -> Answers:
    """Among every class of the head, for images of which these are the features."""
    log_posterior, novelty = head.answer(features)  # (N, K), (N,)
    return Answers(head.classes, log_posterior, novelty > 0)


def ranked(answers: Answers, paths: Sequence[str], top: int) -> list[Prediction]:
    """The top guesses of each image: the likeliest first; equal ones by task and class."""
    scores = answers.log_posterior  # (N, K)
    least = scores.topk(min(top, scores.shape[1]), dim=1).values[:, -1:]  # (N, 1): no more than these are sorted
    result: list[Prediction] = []
    for path, row, kept, unknown in zip(paths, scores, scores >= least, answers.unknown.tolist(), strict=True):
        columns = kept.nonzero()[:, 0].tolist()
        best = sorted((-value, answers.classes[k]) for k, value in zip(columns, row[kept].tolist(), strict=True))
        guesses = tuple(
            Guess(task, name, round(math.exp(-loss), PROBABILITY_DIGITS)) for loss, (task, name) in best[:top]
        )
        result.append(Prediction(path, guesses, unknown=unknown))
    return result
