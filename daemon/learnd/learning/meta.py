"""Episodic meta-training of a backbone: prototypes of a few shots must classify the queries of the episode.

Prototypical Networks, Snell et al. 2017 (arXiv:1703.05175).  Three additions, each measured to help on Omniglot: the
four rotations of a character are four classes (Santoro et al. 2016), half of the episodes are drawn from few
groups (alphabets) so that the classes are hard to tell apart, and images are jittered by a random affine map.

    python -m learnd.learning.meta --data omniglot/images_background --out conv4-omniglot.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.learning.conv4 import FEATURES, GLYPHS, Conv4
from learnd.learning.images import Preprocess, load_batch, normalise


@dataclass(frozen=True)
class Recipe:
    """How to meta-train.  ways are classes an episode, after rotation; seconds and rates are plain SI."""

    steps: int = 6000
    ways: int = 60
    queries: int = 3
    shots: tuple[int, ...] = (1, 5)
    rate: float = 3e-3
    weight_decay: float = 1e-4
    hard_groups: int = 2
    validation_groups: int = 2
    seed: int = 1


@dataclass(frozen=True)
class Classes:
    """Images of many classes, all resident.  images: uint8 (M, C, S, S); rows: a class's row numbers (M_k,).

    groups[k] is the group (alphabet) that class k belongs to, numbered from 0.
    """

    images: Tensor
    rows: tuple[Tensor, ...]
    groups: Tensor

    def select(self, keep: Tensor) -> Classes:
        """Only the classes whose group is in keep."""
        chosen = [k for k in range(len(self.rows)) if bool((keep == self.groups[k]).any())]
        return Classes(self.images, tuple(self.rows[k] for k in chosen), self.groups[chosen])


def read_classes(root: Path, preprocess: Preprocess, threads: int = 2) -> Classes:
    """Read <root>/<group>/<class>/<image> in sorted order."""
    files: list[tuple[str, bytes]] = []
    rows: list[Tensor] = []
    groups: list[int] = []
    for number, group in enumerate(sorted(root.iterdir())):
        for folder in sorted(group.iterdir()):
            start = len(files)
            for image in sorted(folder.iterdir()):
                files.append((str(image), image.read_bytes()))
            rows.append(torch.arange(start, len(files)))
            groups.append(number)
    images, errors = load_batch(files, preprocess, threads)
    if errors:
        raise errors[0]
    return Classes(images, tuple(rows), torch.tensor(groups))


def with_rotations(classes: Classes) -> Classes:
    """Four classes for each: as it is, and turned by 90, 180 and 270 degrees."""
    turned = [torch.rot90(classes.images, k, (2, 3)) for k in range(4)]
    size = len(classes.images)
    rows = tuple(row + k * size for k in range(4) for row in classes.rows)
    return Classes(torch.cat(turned), rows, classes.groups.repeat(4))


def sample_episode(classes: Classes, recipe: Recipe, shots: int, hard: bool, generator: torch.Generator) -> Tensor:
    """Row numbers (ways, shots + queries) of one episode; hard: its classes come from few groups."""
    candidates = torch.arange(len(classes.rows))
    if hard:
        names = classes.groups.unique()
        few = names[torch.randperm(len(names), generator=generator)[: recipe.hard_groups]]
        candidates = candidates[torch.isin(classes.groups, few)]
    chosen = candidates[torch.randperm(len(candidates), generator=generator)[: recipe.ways]]
    each = shots + recipe.queries
    picks = [classes.rows[int(k)] for k in chosen]
    return torch.stack([rows[torch.randperm(len(rows), generator=generator)[:each]] for rows in picks])


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """A random affine map for each image, on tensors: turn +-12 degrees, scale +-15 %, shear, shift +-2 px of 28."""
    n = len(images)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, shear = uniform(0.21), uniform(0.2)
    scale_x, scale_y = 1 + uniform(0.15), 1 + uniform(0.15)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = angle.cos() * scale_x
    theta[:, 0, 1] = -angle.sin() + shear
    theta[:, 1, 0] = angle.sin()
    theta[:, 1, 1] = angle.cos() * scale_y
    theta[:, 0, 2], theta[:, 1, 2] = uniform(0.14), uniform(0.14)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)  # (N, C, S, S)


class PrototypeLoss(nn.Module):
    """Cross-entropy of the queries to the prototypes, squared Euclidean distance, learned temperature."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(0.0))
        self.features = features

    def forward(self, embedded: Tensor, shots: int) -> tuple[Tensor, Tensor]:
        """embedded (ways, shots + queries, D) -> mean loss and accuracy, scalars."""
        ways = len(embedded)
        prototypes = embedded[:, :shots].mean(1)  # (W, D)
        queries = embedded[:, shots:].flatten(0, 1)  # (W * Q, D)
        distances = torch.cdist(queries, prototypes).square() / self.features  # (W * Q, W)
        logits = -distances * self.log_scale.exp()
        labels = torch.arange(ways).repeat_interleave(len(queries) // ways)
        return F.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()


def meta_train(network: nn.Module, classes: Classes, recipe: Recipe) -> Iterator[dict[str, float]]:
    """Train network in place, one episode a step; yields the figures of each step."""
    generator = torch.Generator().manual_seed(recipe.seed)
    loss_of = PrototypeLoss(FEATURES)
    parameters = [*network.parameters(), *loss_of.parameters()]
    optimiser = torch.optim.AdamW(parameters, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, recipe.steps, pct_start=0.2)
    network.train().to(memory_format=torch.channels_last)
    for step in range(recipe.steps):
        shots = recipe.shots[step % len(recipe.shots)]
        hard = step // len(recipe.shots) % 2 == 1
        rows = sample_episode(classes, recipe, shots, hard, generator)
        images = normalise(classes.images[rows.flatten()], GLYPHS)
        jittered = jitter(images, generator).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):  # with channels_last 2.5 times faster on AVX-512
            embedded = network(jittered)
        embedded = embedded.float().unflatten(0, rows.shape)  # (W, S + Q, D)
        loss, accuracy = loss_of(embedded, shots)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        yield {"step": step + 1, "loss": loss.item(), "accuracy": accuracy.item()}


@torch.no_grad()
def validate(network: nn.Module, classes: Classes, recipe: Recipe, episodes: int = 200) -> float:
    """Mean accuracy of 20-way one-shot episodes inside one group each, inductive, running statistics."""
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    one_group = Recipe(ways=20, queries=1, hard_groups=1)
    network.eval()
    hits: list[float] = []
    for _ in range(episodes):
        rows = sample_episode(classes, one_group, 1, True, generator)
        embedded = network(normalise(classes.images[rows.flatten()], GLYPHS)).unflatten(0, rows.shape)
        _, accuracy = PrototypeLoss(FEATURES)(embedded, 1)
        hits.append(float(accuracy))
    return sum(hits) / len(hits)


def main(arguments: list[str] | None = None) -> int:
    """Meta-train conv4 and write its weights (float16: it costs nothing) with the recipe as metadata."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder <group>/<class>/<image>")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    recipe = Recipe(steps=options.steps, seed=options.seed)
    everything = read_classes(options.data, GLYPHS, options.threads)
    last = int(everything.groups.max()) + 1
    held = torch.arange(last - recipe.validation_groups, last)
    validation = everything.select(held)
    training = with_rotations(everything.select(torch.arange(last - recipe.validation_groups)))
    network = Conv4()
    started = time.monotonic()
    for figures in meta_train(network, training, recipe):
        if figures["step"] % 100 == 0:
            elapsed = time.monotonic() - started
            print(json.dumps({**figures, "seconds": round(elapsed, 1)}), file=sys.stderr, flush=True)
    accuracy = validate(network, validation, recipe)
    network.to(memory_format=torch.contiguous_format)
    state = network.state_dict()
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    note = {"recipe": json.dumps(asdict(recipe)), "validation_20way_1shot_within_alphabet": f"{accuracy:.4f}"}
    save_file(tensors, options.out, metadata=note)
    print(json.dumps({"validation": accuracy, "out": str(options.out)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
