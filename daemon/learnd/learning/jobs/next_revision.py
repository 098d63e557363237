"""What a consolidation writes of a task: the files of its next revision, as the candidate network knows it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from learnd.identity import sha256_of
from learnd.learning.contract.options import options_of
from learnd.learning.jobs.candidate_network import Candidate
from learnd.learning.jobs.learn import wilson
from learnd.learning.jobs.remembered_task import Features, Recalled, refit
from learnd.learning.jobs.workbench import Bench
from learnd.learning.knowledge import class_statistics, held_out
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.tensor_file import write_tensors
from learnd.messages.convert import SCHEMA, to_json
from learnd.messages.jobs import EXEMPLARS, HELD_OUT
from learnd.messages.outcomes import Form
from learnd.messages.report import Report


def make_form(
    task: Recalled, revision: int, seen: Features, candidate: Candidate, bench: Bench, told: tuple[bool, ...], out: Path
) -> Form:
    """Write a task as the candidate knows it; what the candidate left as it was is taken over to the bit."""
    form = Form(task.member.id, revision, {})
    folder, old, network = out / form.folder, Path(task.member.folder), bench.backbone
    folder.mkdir(parents=True)
    images = task.report.images
    if candidate.changed & {IDENTITY, task.scoped.adapter}:
        images = len(task.support)
        made = refit(task, task.support, seen, network, bench)
        known, state = made.known, made.state
        if IDENTITY not in candidate.changed:
            known = replace(known_now(task), adapted=known.adapted)
    else:
        known, state = known_now(task), task.scoped.state
    note = {
        "algorithm": task.scoped.algorithm.name,
        "options": json.dumps(options_of(task.scoped.algorithm), sort_keys=True),
        "classes": json.dumps(task.classes),
        "backbone_hash": network.hash,
        "adapter": task.scoped.adapter,
        "schema": str(SCHEMA),
    }
    write_tensors(state, folder / "adapted.safetensors", note)
    class_statistics.save(known, folder / "statistics.safetensors", network.hash)
    for name in (EXEMPLARS, HELD_OUT):
        if (old / name).exists():
            _take_over(old / name, folder / name)
    _save_held_out(task, seen, network, folder)
    report = replace(_report(task, revision, network, told), images=images)
    (folder / "report.json").write_text(json.dumps(to_json(report), indent=1))
    return replace(form, files={file.name: sha256_of(file) for file in sorted(folder.iterdir())})


def _save_held_out(task: Recalled, seen: Features, network: Backbone, folder: Path) -> None:
    """What a survey asks about: the held-out images that are kept, as the candidate sees them."""
    held = torch.ones(len(task.labels), dtype=torch.bool)  # (N,)
    held[task.support] = False
    if bool(held.any()):
        features = {name: seen[name].cpu()[held] for name in sorted({IDENTITY, task.scoped.adapter})}
        asked = held_out.HeldOut(task.classes, task.labels[held], features)
        held_out.save(asked, folder / held_out.HELDOUT, network.hash)


def known_now(task: Recalled) -> class_statistics.Statistics:
    path = Path(task.member.folder) / "statistics.safetensors"
    return class_statistics.load(path, task.report.backbone_hash, task.member.statistics)


def _report(task: Recalled, revision: int, network: Backbone, told: tuple[bool, ...]) -> Report:
    return replace(
        task.report,
        revision=revision,
        backbone_hash=network.hash,
        device=str(network.device),
        accuracy=sum(told) / len(told) if told else None,
        accuracy_ci=wilson(sum(told), len(told)) if told else None,
        measured_on="kept images" if told else None,
        measured_images=len(told),
        derived_from=task.member.revision,
    )


def _take_over(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the disk knows no such thing.  It is never written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
