"""Meta-training of a domain adapter: the trunk is frozen, and what an adapter may change learns from tasks.

Prototypical Networks, Snell et al. 2017 (arXiv:1703.05175), by angle and with a learned temperature; every image of a
task is the support once and a query of all others.  Batch norm uses the statistics of the task and keeps their running
mean for later: they are the domain's own.  It runs in the same loop as all meta-training.

    python -m learnd.learning.adapters_train --data images_background.zip --name glyphs --out lite0-meta.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.learning import episodes
from learnd.learning.adapters import DOWN, UP, AdaptedTrunk, Adapter, merged, pack
from learnd.learning.algorithm import Context, Support
from learnd.learning.backbones import Backbone, load_backbone
from learnd.learning.batching import slope_of
from learnd.learning.corpus import Classes, Domain, hold_back, read_classes, with_turns
from learnd.learning.engine import score_episodes
from learnd.learning.heads import class_means
from learnd.learning.images import Preprocess
from learnd.learning.inner import Tensors
from learnd.learning.snapshots import Score
from learnd.learning.training import Figures, Objective, Run, Trained, train
from learnd.recipe import Recipe
from learnd.wire import BackboneSpec

PORTRAIT = 320  # images by which a domain is known
WITHIN = 0.95  # of them lie within its radius
SCALE = "log_scale"
RECIPE = Recipe(
    steps=850, ways=(32,), shots=(1,), queries=3, rate=3e-3, warmup=0.2, validate_every=200, validation_ways=20
)


@dataclass(frozen=True)
class Plan:
    """The shape of an adapter, and of its training.

    size: in pixels.  stages: of the trunk.  rank: of the residuals.  scale: of the cosines, to start from.
    momentum: of batch norm's running statistics.  held_back: the share of the groups that validates.
    """

    size: int = 48
    stages: int = 5
    features: int = 448
    rank: int = 8
    scale: float = 10.0
    momentum: float = 0.05
    held_back: float = 0.07


@dataclass(frozen=True)
class Adapting(Objective):
    """The loss of a task, every image of which is once the support.  backbone: the adapter's network, as `trainee`."""

    plan: Plan
    backbone: Backbone
    training: Sequence[Domain]
    validation: Sequence[Domain]
    recipe: Recipe

    @property
    def trains_network(self) -> bool:
        return True

    def start(self) -> dict[str, Tensor]:
        tensors = fresh_tensors(self.backbone.module, self.plan.rank, self.recipe.seed)
        return {**tensors, SCALE: torch.tensor(self.plan.scale).log()}

    def gradients(
        self, params: Tensors, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        task = episodes.sample(self.training, episodes.of_training(self.recipe), generator, progress)
        each = 1 + self.recipe.queries
        parts = [part[0].unflatten(0, (task.ways, -1)) for part in (task.support, task.query)]
        images = torch.cat(parts, 1)  # (W, E, C, S, S)
        self.backbone.module.train()
        embedded = self.backbone.features_of(images.flatten(0, 1), self.kernels(params))
        loss = every_image_once(embedded.unflatten(0, (task.ways, each)), params[SCALE].exp())
        return loss.detach(), slope_of(loss, params)

    def kernels(self, params: Tensors) -> dict[str, Tensor]:
        """What stands in for the network's own parameters."""
        own = dict(self.backbone.module.named_parameters())
        return merged(own, {name: value for name, value in params.items() if name != SCALE})

    def validate(self, params: Tensors, step: int) -> Score | None:
        if not self.validation:
            return None
        self.backbone.module.eval()
        with torch.no_grad():
            kernels = self.kernels(params)

            def predict(support: Support, query: Tensor, ctx: Context) -> Tensor:
                known = F.normalize(self.backbone.embed(support.images, kernels), dim=1)
                means = class_means(known, support.labels, support.ways)  # (K, D)
                return F.normalize(self.backbone.embed(query, kernels), dim=1) @ F.normalize(means, dim=1).T

            return score_episodes(self.backbone, self.validation, self.recipe, step, predict)


def trainee(trunk: Backbone, plan: Plan) -> Backbone:
    """The adapter's network, untrained, as a backbone that takes grey images of the adapter's own size."""
    network = AdaptedTrunk(trunk.module, plan.size, plan.size, plan.stages, plan.features)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = plan.momentum
    grey = Preprocess(plan.size, 1, trunk.preprocess.mean[:1], trunk.preprocess.std[:1])
    return replace(trunk, module=network, preprocess=grey, features=plan.features, adapters={}, meta={})


def fresh_tensors(network: nn.Module, rank: int, seed: int) -> dict[str, Tensor]:
    """What is trained, where it starts: the network's own values, and residuals that are nothing yet."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, value in network.named_parameters():
        if value.ndim == 4 and value.shape[2:] == (1, 1) and not name.startswith("pool."):
            outputs, inputs = value.shape[:2]
            tensors[name + DOWN] = torch.randn(rank, inputs, generator=generator) / inputs**0.5
            tensors[name + UP] = torch.zeros(outputs, rank)
        elif value.ndim == 1 or value.shape[1] == 1:  # batch norm, and depthwise kernels
            tensors[name] = value.detach().clone()
    pool = tensors["pool.weight"]
    pool *= 1 + torch.randn(pool.shape, generator=generator)  # else its channels would stay equal
    return tensors


def every_image_once(embedded: Tensor, scale: Tensor) -> Tensor:
    """The loss of a task embedded (W, E, D), taken as E one-shot tasks and one of E - 1 shots.

    In the one-shot task e the e-th image of each class is its prototype, and all others are queries; in the last task
    every image is asked of the means of the others.
    """
    ways, each, _ = embedded.shape
    unit = F.normalize(embedded, dim=2)
    rows = unit.flatten(0, 1)  # (W * E, D)
    labels = torch.arange(ways, device=rows.device).repeat_interleave(each)
    logits = (2 * rows @ rows.T - 2).view(ways, each, ways, each) * scale  # less squared distances
    losses: list[Tensor] = []
    for support in range(each):
        rest = torch.arange(each) != support
        asked = logits[:, rest, :, support].flatten(0, 1)  # (W * (E - 1), W)
        losses.append(F.cross_entropy(asked, labels.view(ways, each)[:, 1:].flatten()))
    means = unit.mean(1)  # (W, D)
    others = (means[labels] * each - rows) / (each - 1)  # (W * E, D): the mean without the image
    far = torch.cdist(rows, means).square().scatter(1, labels[:, None], (rows - others).square().sum(1)[:, None])
    return torch.stack(losses).mean() + F.cross_entropy(-far * scale, labels)


def finished(name: str, plan: Plan, trained: Trained, portrait: Tensor) -> Adapter:
    """The adapter, float16 (it costs nothing); portrait: features (M, D0) of the trunk itself, of the domain."""
    statistics = {key: value for key, value in trained.weights.buffers.items() if key.endswith(("_mean", "_var"))}
    tensors = {key: value for key, value in trained.weights.params.items() if key != SCALE}
    halves = {key: value.detach().cpu().half().contiguous() for key, value in {**tensors, **statistics}.items()}
    unit = F.normalize(portrait.cpu(), dim=1)
    centre = unit.mean(0)
    radius = float((unit - centre).norm(dim=1).quantile(WITHIN))
    return Adapter(name, plan.size, plan.stages, halves, centre, radius)


def shrunk(classes: Classes, size: int) -> Classes:
    """The same classes with images of so many pixels a side, as an adapter shrinks them."""
    parts: list[Tensor] = []
    for part in classes.images.split(512):
        small = F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
        parts.append(small.round().clamp(0, 255).to(torch.uint8))
    return replace(classes, images=torch.cat(parts))


def portrait_of(trunk: Backbone, classes: Classes, seed: int) -> Tensor:
    """Features (M, D0) of some of the classes' images, by the trunk as it is."""
    used = torch.cat(classes.rows)
    some = used[torch.randperm(len(used), generator=torch.Generator().manual_seed(seed))[:PORTRAIT]]
    return trunk.embed(classes.images[some].expand(-1, trunk.preprocess.channels, -1, -1))


def train_adapter(
    name: str, trunk: Backbone, classes: Classes, plan: Plan, recipe: Recipe, run: Run
) -> tuple[Adapter, Trained]:
    """An adapter for the domain of these classes, grey images of the trunk's size (M, 1, S, S), and how it came about.

    Some groups are held back to validate.  Raises LearndError where the classes are too few, or the loss is not finite.
    """
    training, validation = hold_back(classes, plan.held_back)
    portrait = portrait_of(trunk, training, recipe.seed)
    turned = Domain(name, with_turns(shrunk(training, plan.size), 4), "glyphs")
    held = (Domain(name, shrunk(validation, plan.size)),) if len(validation) > 1 else ()
    episodes.check([turned], episodes.of_training(recipe))
    objective = Adapting(plan, trainee(trunk, plan), [turned], held, recipe)
    trained = train(objective, recipe, run)
    return finished(name, plan, trained, portrait), trained


def main(arguments: list[str] | None = None) -> int:
    """Train one adapter of lite0 for glyphs and write it, with its recipe as metadata; started again, it goes on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder or .zip of <group>/<class>/<image>")
    parser.add_argument("--name", required=True, help="of the adapter")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--seed", type=int, default=RECIPE.seed)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    plan, recipe = Plan(), replace(RECIPE, steps=options.steps, seed=options.seed)
    made = {"plan": asdict(plan), "recipe": asdict(recipe)}
    trunk = load_backbone(BackboneSpec("lite0"))
    grey = Preprocess(trunk.preprocess.size, 1, trunk.preprocess.mean[:1], trunk.preprocess.std[:1])
    classes = read_classes([options.data], grey, options.threads)
    run = Run(options.out.with_suffix(".snapshot"), json.dumps({"adapter": options.name, **made}), _say)
    adapter, trained = train_adapter(options.name, trunk, classes, plan, recipe, run)
    packed, note = pack([adapter])
    if trained.best is not None:
        made["validation"] = asdict(trained.best)
    save_file(packed, options.out, metadata={**note, f"made.{options.name}": json.dumps(made)})
    print(json.dumps({"out": str(options.out), "validation": made.get("validation")}))
    return 0


def _say(event: Figures | Score) -> None:
    print(json.dumps(asdict(event)), file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
