"""Omniglot's evaluation characters, embedded once: what is learnt of each, and what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from learnd.learning.knowledge.class_statistics import Statistics, statistics
from learnd.learning.knowledge.grouped_classifier import Features
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.images import load_batch
from learnd.messages.jobs import Member
from tests.data import unpacked

DRAWERS = 20  # of each character
SHOTS = 15  # drawings to learn from; the others are asked about


@dataclass(frozen=True)
class Characters:
    """K characters.  names: (alphabet, character); files: their DRAWERS drawings; features: float32 (K, DRAWERS, D)."""

    names: tuple[tuple[str, str], ...]
    files: tuple[tuple[Path, ...], ...]
    features: Tensor

    def of(self, alphabets: set[str]) -> list[int]:
        """The numbers of the characters of these alphabets."""
        return [k for k, (alphabet, _) in enumerate(self.names) if alphabet in alphabets]


@dataclass(frozen=True)
class Stream:
    """K characters in the order of their arrival.  numbers[i] is the i-th among all.

    learn: int64 (K, SHOTS) and ask: int64 (K, DRAWERS - SHOTS), the drawings of each.
    """

    numbers: tuple[int, ...]
    learn: Tensor
    ask: Tensor

    @property
    def answers(self) -> Tensor:
        """int64 (K * (DRAWERS - SHOTS),): the character of every question, by its place in the stream."""
        return torch.arange(len(self.numbers)).repeat_interleave(self.ask.shape[1])


def read_characters(backbone: Backbone) -> Characters:
    """All 659, sorted by alphabet and character."""
    folders = sorted(path for path in unpacked("omniglot", "images_evaluation/").glob("*/*") if path.is_dir())
    files = tuple(tuple(sorted(folder.glob("*.png"))) for folder in folders)
    contents = [(str(path), path.read_bytes()) for own in files for path in own]
    images, errors = load_batch(contents, backbone.preprocess, 1)
    if errors:
        raise errors[0]
    features = backbone.embed(images).cpu().unflatten(0, (len(files), DRAWERS))  # (K, DRAWERS, D)
    return Characters(tuple((folder.parent.name, folder.name) for folder in folders), files, features)


def draw_stream(numbers: list[int], count: int, seed: int) -> Stream:
    """So many of these characters in random order, each with SHOTS random drawings to learn from."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [numbers[i] for i in torch.randperm(len(numbers), generator=generator)[:count].tolist()]
    drawings = torch.stack([torch.randperm(DRAWERS, generator=generator) for _ in chosen])  # (K, DRAWERS)
    return Stream(tuple(chosen), drawings[:, :SHOTS], drawings[:, SHOTS:])


def learn_each(characters: Characters, stream: Stream) -> list[tuple[Member, Statistics]]:
    """What the daemon remembers where every character is a task of its own; in the order of the stream."""
    known = []
    for place, (number, rows) in enumerate(zip(stream.numbers, stream.learn, strict=True)):
        features = characters.features[number][rows]  # (SHOTS, D)
        own = statistics(features, torch.zeros(len(rows), dtype=torch.int64), [characters.names[number][1]])
        known.append((Member(f"{place:04d}", f"{place:04d}", 1, "", "", ""), own))
    return known


def questions(characters: Characters, stream: Stream) -> Features:
    """The features of what is asked, character by character."""
    rows = zip(stream.numbers, stream.ask, strict=True)
    return {IDENTITY: torch.cat([characters.features[number][ask] for number, ask in rows])}
