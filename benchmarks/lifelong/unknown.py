"""Strangers: 15 alphabets are known, and images of 5 others are asked about.

Every character of 15 random evaluation alphabets is learnt from 15 drawings; the AUROC is that of telling all drawings
of 5 other alphabets from the 5 left-out drawings of each known character.
"""

from __future__ import annotations

import random
from statistics import mean

from benchmarks.figures import Figure, at_least
from benchmarks.lifelong.characters import Characters, draw_stream, learn_each, questions, read_characters
from benchmarks.lifelong.marks import auroc
from learnd.learning.knowledge.grouped_classifier import grouped_head
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import load_backbone
from learnd.messages.jobs import BackboneSpec

UNKNOWN_SEEDS = 5
KNOWN = 15  # of 20 alphabets


def figures(seeds: int, backbone: str) -> list[Figure]:
    characters = read_characters(load_backbone(BackboneSpec(backbone)))
    measured = [measure(characters, seed) for seed in range(1, seeds + 1)]
    found, alarms, told = (list(column) for column in zip(*measured, strict=True))
    note = " (" + " ".join(f"{value:.3f}" for value in found) + ")"
    return [
        at_least(f"unknown ({backbone}): AUROC, mean of {seeds} draws", mean(found), 0.90, note),
        Figure("of images of known characters, called unknown", f"{mean(alarms):.4f}", "near 0.02"),
        Figure("of images of strangers, called unknown", f"{mean(told):.4f}"),
    ]


def measure(characters: Characters, seed: int) -> tuple[float, float, float]:
    """AUROC, and the shares of known and of strange images that are called unknown."""
    alphabets = sorted({alphabet for alphabet, _ in characters.names})
    random.Random(seed).shuffle(alphabets)
    known = characters.of(set(alphabets[:KNOWN]))
    stream = draw_stream(known, len(known), seed)
    head = grouped_head(learn_each(characters, stream))
    asked = questions(characters, stream)
    strange = {IDENTITY: characters.features[characters.of(set(alphabets[KNOWN:]))].flatten(0, 1)}
    alarms, told = (float(head.unknown(features).double().mean()) for features in (asked, strange))
    return auroc(head.novelty(asked), head.novelty(strange)), alarms, told
