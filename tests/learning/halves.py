"""A network so small that one knows what it can tell: how bright the left and the right half of an image are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from learnd.learning.contract.meta_learner import MetaLearner
from learnd.learning.jobs.candidate_network import IDENTITY, Candidate, Lesson
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.metatraining.outer_loop import Run
from learnd.learning.networks.backbone import Backbone, trained
from learnd.learning.networks.images import Preprocess
from learnd.learning.plugin_host.catalogue import Catalogue
from tests.learning.worker_contexts import NearestMean

SIDE = 8
CHANGED = frozenset({IDENTITY})  # by a planted candidate


class Halves(nn.Module):
    """float32 (N, 1, S, S) -> (N, 4): left and right as far as it looks; the mark in the last row; a constant."""

    def __init__(self, left: float, right: float) -> None:
        super().__init__()
        self.looks = nn.Parameter(torch.tensor([left, right]))

    def forward(self, images: Tensor) -> Tensor:
        halves = torch.stack([half.mean((1, 2, 3)) for half in images[:, :, :-1].split(SIDE // 2, 3)], 1)  # (N, 2)
        mark = 4 * images[:, :, -1].mean((1, 2))[:, None]  # (N, 1)
        return torch.cat([halves * self.looks, mark, torch.ones(len(images), 1)], 1)


def seeing(left: float, right: float) -> Backbone:
    """A backbone that looks so far at each half."""
    preprocess = Preprocess(SIDE, 1, (0.5,), (0.5,))
    module = Halves(left, right)
    empty = Backbone("halves", module, preprocess, 4, "", 0, torch.device("cpu"), (), architecture="halves")
    return trained(empty, module)


def worker_seeing(left: float, right: float) -> WorkerContext:
    return WorkerContext(seeing(left, right), Catalogue({NearestMean.name: NearestMean()}))


def planted(new: Backbone, lessons: list[Lesson]) -> object:
    """In place of a training: this network comes out; what it was shown is added to lessons."""

    def train(
        old: Backbone, learner: MetaLearner | None, shown: Sequence[Lesson], steps: int, seed: int, run: Run
    ) -> Candidate:
        lessons.extend(shown)
        return Candidate(new, tuple(lesson.id for lesson in shown), CHANGED)

    return train


def halves_task(folder: Path, side: str, images: int = 16, mark: int = 0) -> Path:
    """A task of two classes: one half of an image is dark or bright, the other says nothing; the mark is the task's."""
    draw = np.random.default_rng([mark, *side.encode()])
    for name, level in (("bright", 190), ("dark", 60)):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            told = draw.integers(level - 40, level + 40, (SIDE, SIDE // 2))
            other = np.clip(draw.integers(40, 210) + draw.integers(-40, 40, (SIDE, SIDE // 2)), 0, 255)
            halves = (told, other) if side == "left" else (other, told)
            pixels = np.concatenate(halves, 1)
            pixels[-1] = mark
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder
