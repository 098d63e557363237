"""From the files of a job to labelled tensors, provided that they are still the files that were accepted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from learnd.errors import ImageError, LearndError
from learnd.identity import digest_of_leaves, leaf_of
from learnd.learning.jobs.worker_context import Progress
from learnd.learning.knowledge.exemplars import Labelled
from learnd.learning.networks.images import NO_READERS, Preprocess, Readers, load_batch
from learnd.messages.jobs import LearnSpec
from learnd.messages.task import ImageFile, ImageSplit, Problem

FILES_AT_A_TIME = 256  # files whose bytes are held at a time


class Changed(LearndError):
    """The files are no longer those that were accepted."""


class Rejected(LearndError):
    """The folder is to blame; problems say all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problems" if len(problems) > 1 else problems[0].what)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Part:
    """Labelled images.  images: uint8 (N, C, S, S).  labels: int64 (N,) in [0, ways).  files: N of them."""

    files: tuple[Labelled, ...]
    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Reading:
    """A task in memory.  classes are sorted; only support is learnt from, query is for measuring alone."""

    classes: tuple[str, ...]
    support: Part
    query: Part


def read_task(
    spec: LearnSpec, preprocess: Preprocess, threads: int, progress: Progress, readers: Readers = NO_READERS
) -> Reading:
    """Read, check and decode every file of a job, and set the held-out images apart.

    Raises Changed if a file is gone or the digest differs, Rejected where images cannot be used.
    """
    ordered = sorted(spec.files, key=lambda file: (file.class_name, file.path))
    files: list[Labelled] = []
    images: list[Tensor] = []
    errors: list[ImageError] = []
    for start in range(0, len(ordered), FILES_AT_A_TIME):
        progress("read", start, len(ordered))
        part = ordered[start : start + FILES_AT_A_TIME]
        contents = [(file.path, _bytes_of(spec, file.path)) for file in part]
        decoded, failed = load_batch(contents, preprocess, threads, readers)
        images.append(decoded)
        errors += failed
        files += [
            Labelled(Path(spec.folder, file.path), file.class_name, leaf_of(data))
            for file, (_, data) in zip(part, contents, strict=True)
        ]
    _check_digest(spec, ordered, files)
    classes = tuple(sorted({file.class_name for file in ordered if file.split is ImageSplit.SUPPORT}))
    problems = [_undecodable(error) for error in errors] + _strangers(ordered, classes)
    if problems:
        raise Rejected(problems)
    held = _held_out(ordered, files, spec.options.holdout)
    return _divide(classes, files, torch.cat(images), held)


def _bytes_of(spec: LearnSpec, path: str) -> bytes:
    try:
        return Path(spec.folder, path).read_bytes()
    except OSError as error:
        raise Changed(f"{path} cannot be read any more ({error.strerror})", where=spec.name) from error


def _check_digest(spec: LearnSpec, ordered: Sequence[ImageFile], files: Sequence[Labelled]) -> None:
    leaves = [(file.path, labelled.sha256) for file, labelled in zip(ordered, files, strict=True)]
    if Path(spec.folder, "task.yaml").is_file():
        leaves.append(("task.yaml", leaf_of(_bytes_of(spec, "task.yaml"))))
    if digest_of_leaves(leaves) != spec.digest:
        raise Changed("the files are no longer those that were accepted", where=spec.name)


def _undecodable(error: ImageError) -> Problem:
    return Problem("undecodable", error.where or "", error.what, error.remedy or "")


def _strangers(files: Sequence[ImageFile], classes: Sequence[str]) -> list[Problem]:
    """Classes that are to be measured with but never learnt."""
    unknown = sorted({file.class_name for file in files} - set(classes))
    remedy = "add images of it to learn from, or remove it"
    return [Problem("query-only", name, "has query images but none to learn from", remedy) for name in unknown]


def _held_out(ordered: Sequence[ImageFile], files: Sequence[Labelled], share: float) -> list[bool]:
    """Which files are query: the folder's own, and of each class a share, those with the smallest sha256.

    At least one image of a class is left to learn from, and no copy of an image that is held out.
    """
    held = [file.split is ImageSplit.QUERY for file in ordered]
    by_class: dict[str, list[int]] = {}
    for row, file in enumerate(files):
        if not held[row]:
            by_class.setdefault(file.class_name, []).append(row)
    for rows in by_class.values():
        quota = min(len(rows) - 1, math.floor(len(rows) * share + 0.5))
        rows.sort(key=lambda row: (files[row].sha256, str(files[row].path)))
        while quota > 0 and files[rows[quota - 1]].sha256 == files[rows[quota]].sha256:
            quota -= 1
        for row in rows[:quota]:
            held[row] = True
    return held


def _divide(classes: tuple[str, ...], files: Sequence[Labelled], images: Tensor, held: Sequence[bool]) -> Reading:
    number = {name: k for k, name in enumerate(classes)}
    labels = torch.tensor([number[file.class_name] for file in files])
    mask = torch.tensor(held, dtype=torch.bool)

    def part(rows: Tensor) -> Part:
        return Part(tuple(files[int(row)] for row in rows), images[rows], labels[rows])

    return Reading(classes, part((~mask).nonzero()[:, 0]), part(mask.nonzero()[:, 0]))
