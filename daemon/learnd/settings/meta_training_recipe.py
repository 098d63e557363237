"""How to meta-train: the values that decide what comes out, with their defaults, ranges and help.  No torch.

The fields of Recipe are the options of `learnd meta-train`; the rules beside them are those of `schema`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from learnd.messages.jobs import BackboneSpec
from learnd.settings.yaml_schema import rules

AUGMENTATIONS = ("none", "glyphs", "photographs")


@dataclass(frozen=True)
class DomainSpec:
    """One kind of images.  roots: folders or .zip files, <group>/<class>/<image> or <class>/<image>, taken together.

    augment: "none" | "glyphs" | "photographs".  turns: 1, 2 or 4; each class turned counts as another class.
    """

    roots: tuple[str, ...]
    augment: str = "none"
    turns: int = 1


@dataclass(frozen=True)
class Recipe:
    """How to train over many tasks: what the tasks are like, and how the outer loop steps."""

    steps: int = field(default=6000, metadata=rules("Train for this many steps of the outer loop.", min=1, max=10**8))
    meta_batch: int = field(default=1, metadata=rules("Use this many tasks per step.", min=1, max=10**4))
    ways: tuple[int, ...] = field(
        default=(5,), metadata=rules("Classes per task: 5, or 5,20 or 5-20 to draw a number at each step.", min=2)
    )
    shots: tuple[int, ...] = field(
        default=(1, 5),
        metadata=rules("Support images per class: 1, or 1,5 or 1-10 to draw a number at each step.", min=1),
    )
    queries: int = field(default=15, metadata=rules("Query images per class.", min=1, max=10**4))
    hard: float = field(
        default=0.5,
        metadata=rules("Make this share of the tasks hard: their classes come from few groups.", min=0, max=1),
    )
    hard_groups: int = field(
        default=2, metadata=rules("Groups of a hard task; more if they have too few classes.", min=1, max=10**4)
    )
    optimiser: str = field(
        default="adamw", metadata=rules("Optimiser of the outer loop; sgd is for Reptile.", choices=("adamw", "sgd"))
    )
    rate: float = field(default=1e-3, metadata=rules("Peak learning rate of the outer loop.", min=1e-9, max=100))
    warmup: float = field(
        default=0.1,
        metadata=rules("Raise the learning rate during this share of the steps; then it falls.", min=0, max=1),
    )
    weight_decay: float = field(default=1e-4, metadata=rules("Weight decay of adamw.", min=0, max=10))
    clip: float = field(default=10.0, metadata=rules("Clip gradients to this norm; 0 never clips.", min=0, max=1e9))
    batching: str = field(
        default="auto",
        metadata=rules("Tasks per pass: auto, loop (one) or vmap:<n>.", pattern=r"auto|loop|vmap:[1-9][0-9]*"),
    )
    amp: str = field(
        default="auto",
        metadata=rules("auto uses bfloat16 for metric methods if it is faster on the device.", choices=("auto", "off")),
    )
    validate_every: int = field(default=500, metadata=rules("Validate every so many steps.", min=1, max=10**8))
    validation_episodes: int = field(default=200, metadata=rules("Validate on this many tasks.", min=1, max=10**6))
    validation_ways: int = field(default=5, metadata=rules("Classes per validation task.", min=2, max=10**4))
    validation_shots: int = field(
        default=1, metadata=rules("Support images per class of a validation task.", min=1, max=10**4)
    )
    seed: int = field(default=1, metadata=rules("Seed of all random numbers.", min=0, max=2**62))


@dataclass(frozen=True)
class Corpus:
    """Which images to train and to validate on.

    split: a .json file with lists of class names "<group>/<class>" under "train" and "validation".  held_back: where
    it names no validation classes, this share of each domain's groups (classes, where it has one group) validates.
    validation: roots of which all classes validate, each a domain of its own; then no class of domains does.
    side: of the images in pixels, where it is not the backbone's own; per_class: images of a class at most; 0: all.
    """

    domains: tuple[DomainSpec, ...]
    split: str | None = None
    held_back: float = 0.1
    side: int = 0
    per_class: int = 0
    validation: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class MetaTrainSpec:
    """One call of `learnd meta-train`.

    algorithm: the name of a plugin with an outer loop, or "pretrain"; options: over those of config.yaml.
    out: the meta checkpoint; backbone_out: the backbone file, of an algorithm that trains the network itself.
    fresh: start from random weights.  half: write float16.  seconds: stop after so many.
    """

    algorithm: str
    options: dict[str, Any]
    corpus: Corpus
    recipe: Recipe
    backbone: BackboneSpec
    out: str | None
    backbone_out: str | None
    fresh: bool
    half: bool
    device: str
    seconds: float | None
    restart: bool
    tensorboard: str | None
    plugins_dir: str
    plugins: dict[str, Any]  # as in config.yaml under `plugins`
    command: str
