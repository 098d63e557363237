"""The files of the revision that a consolidation writes for a task, made with the candidate network."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from learnd.identity import sha256_of
from learnd.learning.contract.options import options_of
from learnd.learning.jobs.candidate_network import Candidate
from learnd.learning.jobs.consolidation_refit import Recalled, refit
from learnd.learning.jobs.learn import wilson
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.knowledge import class_statistics, held_out
from learnd.learning.knowledge.grouped_classifier import Features
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.tensor_file import write_tensors
from learnd.messages.convert import to_json
from learnd.messages.outcomes import Form
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


@dataclass(frozen=True)
class Answered:
    """What a candidate network makes of a task.

    features: of all kept images, under each adapter.  correct: of each held-out sample, was it classified correctly?
    """

    features: Features
    correct: tuple[bool, ...]


def make_form(
    task: Recalled, revision: int, answered: Answered, candidate: Candidate, worker: WorkerContext, out: Path
) -> Form:
    """Write a task's new revision.  What the candidate did not change is copied bit for bit."""
    seen = answered.features
    form = Form(task.member.id, revision, {})
    folder, old, network = out / form.folder, Path(task.member.folder), worker.backbone
    folder.mkdir(parents=True)
    images = task.report.images
    if candidate.changed & {IDENTITY, task.scoped.adapter}:
        images = len(task.support)
        made = refit(task, task.support, seen, network, worker)
        known, state = made.known, made.state
        if IDENTITY not in candidate.changed:
            known = replace(known_now(task), adapted=known.adapted)
    else:
        known, state = known_now(task), task.scoped.state
    algorithm = task.scoped.algorithm
    note = AdaptedNote(algorithm.name, options_of(algorithm), task.classes, network.hash, task.scoped.adapter)
    write_tensors(state, folder / ADAPTED_FILE, note.metadata())
    class_statistics.save(known, folder / STATISTICS_FILE, network.hash)
    for name in (EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE):
        if (old / name).exists():
            _take_over(old / name, folder / name)
    _save_held_out(task, seen, network, folder)
    report = replace(_report(task, revision, network, answered.correct), images=images)
    (folder / REPORT_FILE).write_text(json.dumps(to_json(report), indent=1))
    return replace(form, files={file.name: sha256_of(file) for file in sorted(folder.iterdir())})


def _save_held_out(task: Recalled, seen: Features, network: Backbone, folder: Path) -> None:
    """Save the candidate's features of the held-out images, which a survey asks about."""
    held = torch.ones(len(task.labels), dtype=torch.bool)  # (N,)
    held[task.support] = False
    if bool(held.any()):
        features = {name: seen[name].cpu()[held] for name in sorted({IDENTITY, task.scoped.adapter})}
        asked = held_out.HeldOut(task.classes, task.labels[held], features)
        held_out.save(asked, folder / HELD_OUT_FEATURES_FILE, network.hash)


def known_now(task: Recalled) -> class_statistics.Statistics:
    path = Path(task.member.folder) / STATISTICS_FILE
    return class_statistics.load(path, task.report.backbone_hash, task.member.statistics)


def _report(task: Recalled, revision: int, network: Backbone, correct: tuple[bool, ...]) -> Report:
    return replace(
        task.report,
        revision=revision,
        backbone_hash=network.hash,
        device=str(network.device),
        accuracy=sum(correct) / len(correct) if correct else None,
        accuracy_ci=wilson(sum(correct), len(correct)) if correct else None,
        measured_on=MeasuredOn.KEPT_IMAGES if correct else None,
        measured_images=len(correct),
        derived_from=task.member.revision,
    )


def _take_over(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system has no hard links.  Neither name is written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
