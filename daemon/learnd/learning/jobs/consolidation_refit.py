"""What a consolidation loads of a learnt task and refits: its kept images, its held-out samples and its algorithm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from learnd.errors import StateError
from learnd.identity import RESTORE
from learnd.learning.contract.algorithm import Context, State, Support
from learnd.learning.jobs.adapt import adapt, classify
from learnd.learning.jobs.predict import Scoped, load_scoped
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.knowledge import class_statistics
from learnd.learning.knowledge.grouped_classifier import Features, GroupedHead
from learnd.learning.knowledge.kept_images import Kept, divide, kept_images
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.images import load_batch
from learnd.messages.convert import from_json
from learnd.messages.jobs import Member
from learnd.messages.report import Report
from learnd.messages.state_files import REPORT_FILE


@dataclass(frozen=True)
class Recalled:
    """A task as the state keeps it.  images: uint8 (N, C, S, S); labels: int64 (N,), into scoped.classes.

    support, remembered, held_out: int64 row numbers.  What serves is fitted on the support.  The held-out samples are
    classified by what was fitted on the remembered rows alone; the two have no image in common.
    """

    member: Member
    scoped: Scoped
    report: Report
    images: Tensor
    labels: Tensor
    support: Tensor
    remembered: Tensor
    held_out: Tensor

    @property
    def classes(self) -> tuple[str, ...]:
        return self.scoped.classes

    @property
    def missing(self) -> tuple[str, ...]:
        """The classes without a kept image to learn from."""
        there = set(self.labels[self.remembered].tolist())
        return tuple(name for label, name in enumerate(self.classes) if label not in there)

    def part(self, rows: Tensor, features: Features) -> Support:
        """These rows as a support set, in the features of the task's adapter."""
        device = features[self.scoped.adapter].device
        seen = features[self.scoped.adapter][rows.to(device)]
        return Support(self.images[rows].to(device), seen, self.labels[rows].to(device), len(self.classes))


@dataclass(frozen=True)
class Refitted:
    """A task fitted again on some of its images."""

    known: class_statistics.Statistics
    state: State


def recall(member: Member, worker: WorkerContext) -> Recalled:
    """Read what the state keeps of a member.

    Raises StateError if it is damaged, and PluginError if its algorithm is not loaded.
    """
    folder = Path(member.folder)
    scoped = load_scoped(member, worker)
    report = from_json(Report, json.loads((folder / REPORT_FILE).read_text()))
    kept = kept_images(folder)
    remembered, held_out = divide(kept)
    contents = [(f"{member.name}: {one.class_name}/{one.sha256}", one.data) for one in kept]
    images, errors = load_batch(contents, worker.backbone.preprocess, worker.threads, worker.catalogue.readers)
    if errors:
        raise StateError(str(errors[0]), where=str(folder), remedy=RESTORE)
    number = {name: k for k, name in enumerate(scoped.classes)}
    support = [one for one in kept if not one.held_out]
    labels = torch.tensor([number[one.class_name] for one in kept], dtype=torch.int64)
    rows = [_rows(kept, some) for some in (support, remembered, held_out)]
    return Recalled(member, scoped, report, images, labels, *rows)


def _rows(kept: Sequence[Kept], some: Sequence[Kept]) -> Tensor:
    place = {id(one): row for row, one in enumerate(kept)}
    return torch.tensor([place[id(one)] for one in some], dtype=torch.int64)


def see(task: Recalled, backbone: Backbone, adapters: Sequence[str], plain: Tensor | None = None) -> Features:
    """Embed all images of a task under the identity, the task's adapter and these adapters.

    plain: the features under the identity, if they are known.
    """
    wanted = sorted({task.scoped.adapter, *adapters} - {IDENTITY})
    images = task.images.to(backbone.device)
    first = backbone.embed(images) if plain is None else plain
    return {IDENTITY: first, **{name: backbone.adapted(name).embed(images) for name in wanted}}


def refit(task: Recalled, rows: Tensor, features: Features, backbone: Backbone, worker: WorkerContext) -> Refitted:
    """Fit the task on these rows alone, with its algorithm and options.

    The seed is the one it was learnt with, so the same images and features give the same state.
    """
    known = class_statistics.statistics(features[IDENTITY][rows.to(backbone.device)], task.labels[rows], task.classes)
    adapter = task.scoped.adapter
    if adapter != IDENTITY:
        own = class_statistics.statistics(features[adapter][rows.to(backbone.device)], task.labels[rows], task.classes)
        known = replace(known, adapted=replace(own, adapter=adapter))
    ctx = Context(torch.Generator().manual_seed(task.report.seed), log=worker.log)
    algorithm = task.scoped.algorithm
    support = task.part(rows, features)
    state = adapt(algorithm, backbone.adapted(adapter), support, ctx.child("adapt", algorithm.name))
    return Refitted(known, state)


def classified_correctly(
    task: Recalled, made: Refitted, features: Features, backbone: Backbone, head: GroupedHead
) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Per held-out sample, is it classified correctly: among the task's classes, and among all that the head knows?"""
    if not len(task.held_out):
        return (), ()
    asked = task.part(task.held_out, features)
    within = backbone.adapted(task.scoped.adapter)
    logits = classify(task.scoped.algorithm, within, made.state, asked.images, asked.ways, asked.features)
    labels = task.labels[task.held_out]
    scoped = logits.argmax(1).cpu() == labels
    rows = {name: values[task.held_out.to(values.device)] for name, values in features.items()}
    place = {pair: int(answered) for pair, answered in zip(head.plain.classes, head.places, strict=True)}
    truth = [place[task.member.name, task.classes[label]] for label in labels.tolist()]
    unified = head.log_posterior(rows).argmax(1) == torch.tensor(truth)
    return tuple(scoped.tolist()), tuple(unified.tolist())
