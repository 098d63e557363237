"""Meta-training of a domain adapter: the trunk is frozen, and what an adapter may change learns from tasks.

Prototypical Networks, Snell et al. 2017 (arXiv:1703.05175), by angle and with a learned temperature; every image of a
task is the support once and a query of all others.  Batch norm uses the statistics of the task and keeps their running
mean for later: they are the domain's own.  It runs in the same loop as all meta-training; `adapters_train` is the
command.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Context, Support
from learnd.learning.metatraining import episodes
from learnd.learning.metatraining.batching import gradient_of
from learnd.learning.metatraining.corpus import ImageClasses, ImageDomain, with_turns
from learnd.learning.metatraining.objective import FewShotObjective, Predict, nearest_mean
from learnd.learning.metatraining.outer_loop import Run, Trained, train
from learnd.learning.methods.heads import LOG_SCALE
from learnd.learning.networks.adapters import DOWN, POOL, UP, Adapter, Region, merged, network_for
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.images import Preprocess
from learnd.learning.networks.named_tensors import Tensors
from learnd.settings.meta_training_recipe import Recipe

PORTRAIT = 320  # images by which a domain is known
WITHIN = 0.95  # of them lie within its radius


@dataclass(frozen=True)
class Plan:
    """The shape of an adapter, and of its training.

    size: in pixels.  stages: of the trunk.  features: where it leaves the trunk early, and then images are grey; None
    for the whole trunk, in colour.  rank: of the residuals.  scale: of the cosines, to start from.  momentum: of batch
    norm's running statistics.  held_back: the share of the groups that validates.  augment: as `augment` has it.
    turns: quarters by which a class is turned to be another class.
    """

    size: int = 48
    stages: int = 5
    features: int | None = 448
    rank: int = 8
    scale: float = 10.0
    momentum: float = 0.05
    held_back: float = 0.07
    augment: str = "glyphs"
    turns: int = 4

    @property
    def grey(self) -> bool:
        return self.features is not None


RECIPE = Recipe(
    steps=850, ways=(32,), shots=(1,), queries=3, rate=3e-3, warmup=0.2, validate_every=200, validation_ways=20
)
DOMAIN_KINDS = {
    "glyphs": (Plan(), RECIPE),
    "photographs": (
        Plan(size=96, stages=7, features=None, rank=4, augment="photographs", turns=1),
        replace(
            RECIPE, steps=800, ways=(20,), rate=1e-3, validation_ways=5, validation_shots=5, validation_episodes=100
        ),
    ),
}


def plan_of(adapter: Adapter) -> Plan:
    """The plan of an adapter that is there, to train it further."""
    plan, _ = DOMAIN_KINDS["photographs" if adapter.features is None else "glyphs"]
    return replace(plan, size=adapter.size, stages=adapter.stages, features=adapter.features)


@dataclass(frozen=True)
class Adapting(FewShotObjective):
    """The loss of a task, every image of which is once the support.  backbone: the adapter's network, as `trainee`."""

    plan: Plan

    @property
    def trains_network(self) -> bool:
        return True

    def start(self) -> dict[str, Tensor]:
        tensors = fresh_tensors(self.backbone.module, self.plan.rank, self.recipe.seed)
        return {**tensors, LOG_SCALE: torch.tensor(self.plan.scale, device=self.backbone.device).log()}

    def gradients(
        self, params: Tensors, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        task = episodes.sample(self.training, episodes.of_training(self.recipe), generator, progress)
        each = 1 + self.recipe.queries
        parts = [part[0].unflatten(0, (task.ways, -1)) for part in (task.support, task.query)]
        images = torch.cat(parts, 1)  # (W, E, C, S, S)
        self.backbone.module.train()
        embedded = self.backbone.features_of(images.flatten(0, 1), self.kernels(params))
        loss = every_image_once(embedded.unflatten(0, (task.ways, each)), params[LOG_SCALE].exp())
        return loss.detach(), gradient_of(loss, params)

    def kernels(self, params: Tensors) -> dict[str, Tensor]:
        """What stands in for the network's own parameters."""
        own = dict(self.backbone.module.named_parameters())
        return merged(own, {name: value for name, value in params.items() if name != LOG_SCALE})

    def predictor(self, params: Tensors) -> tuple[Backbone, Predict]:
        with torch.no_grad():
            kernels = self.kernels(params)

        @torch.no_grad()
        def predict(support: Support, query: Tensor, ctx: Context) -> Tensor:
            known, asked = (self.backbone.embed(images, kernels) for images in (support.images, query))
            return nearest_mean(known, support.labels, support.ways, asked)

        return self.backbone, predict


def trainee(trunk: Backbone, plan: Plan) -> Backbone:
    """The adapter's network, untrained, as a backbone that takes images of the adapter's own size and colours."""
    network = network_for(trunk.module, plan.size, plan.size, plan.stages, plan.features)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = plan.momentum
    taken = preprocess_for(trunk, plan, plan.size)
    return replace(
        trunk, module=network, preprocess=taken, features=plan.features or trunk.features, adapters={}, meta={}
    )


def preprocess_for(trunk: Backbone, plan: Plan, size: int) -> Preprocess:
    """Images as the plan takes them: grey or in colour, of so many pixels a side."""
    channels = 1 if plan.grey else trunk.preprocess.channels
    return Preprocess(size, channels, trunk.preprocess.mean[:channels], trunk.preprocess.std[:channels])


def fresh_tensors(network: nn.Module, rank: int, seed: int) -> dict[str, Tensor]:
    """What is trained, where it starts: the network's own values, and residuals that are nothing yet."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, value in network.named_parameters():
        if value.ndim == 4 and value.shape[2:] == (1, 1) and not name.startswith("pool."):
            outputs, inputs = value.shape[:2]
            tensors[name + DOWN] = (torch.randn(rank, inputs, generator=generator) / inputs**0.5).to(value.device)
            tensors[name + UP] = torch.zeros(outputs, rank, device=value.device)
        elif value.ndim == 1 or value.shape[1] == 1:  # batch norm, and depthwise kernels
            tensors[name] = value.detach().clone()
    if POOL in tensors:
        pool = tensors[POOL]
        pool *= 1 + torch.randn(pool.shape, generator=generator).to(pool.device)  # else its channels would stay equal
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


def finished(name: str, plan: Plan, trained: Trained, regions: tuple[Region, ...]) -> Adapter:
    """The adapter, float16 (it costs nothing)."""
    statistics = {key: value for key, value in trained.weights.buffers.items() if key.endswith(("_mean", "_var"))}
    tensors = {key: value for key, value in trained.weights.params.items() if key != LOG_SCALE}
    halves = {key: value.detach().cpu().half().contiguous() for key, value in {**tensors, **statistics}.items()}
    return Adapter(name, plan.size, plan.stages, halves, regions)


def region_of(portrait: Tensor) -> Region:
    """Where a domain lies, from features (M, D0) of some of its images by the trunk as it is."""
    unit = F.normalize(portrait.cpu(), dim=1)
    centre = unit.mean(0)
    return Region(centre, float((unit - centre).norm(dim=1).quantile(WITHIN)))


def shrunk(classes: ImageClasses, size: int) -> ImageClasses:
    """The same classes with images of so many pixels a side, as an adapter shrinks them."""
    parts: list[Tensor] = []
    for part in classes.images.split(512):
        small = F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
        parts.append(small.round().clamp(0, 255).to(torch.uint8))
    return replace(classes, images=torch.cat(parts))


def portrait_of(trunk: Backbone, classes: ImageClasses, seed: int) -> Tensor:
    """Features (M, D0) of some of the classes' images, by the trunk as it is."""
    used = torch.cat(classes.rows)
    some = used[torch.randperm(len(used), generator=torch.Generator().manual_seed(seed))[:PORTRAIT]]
    return trunk.embed(classes.images[some].expand(-1, trunk.preprocess.channels, -1, -1))


def domain_of(name: str, classes: ImageClasses, plan: Plan) -> ImageDomain:
    """Classes of any size as the plan trains on them."""
    return ImageDomain(name, with_turns(shrunk(classes, plan.size), plan.turns), plan.augment)


def train_adapter(
    name: str, trunk: Backbone, images: tuple[ImageClasses, ImageClasses], plan: Plan, recipe: Recipe, run: Run
) -> tuple[Adapter, Trained]:
    """Return an adapter for the domain of some classes, and how its training went.

    images: the classes to train on and those to validate on, of the trunk's size, in the colours of the plan: uint8
    (M, 1 or 3, S, S).  Raises LearndError when the classes are too few, or the loss is not finite.
    """
    classes, validation = (some.to(trunk.device) for some in images)
    region = region_of(portrait_of(trunk, classes, recipe.seed))
    domain = domain_of(name, classes, plan)
    held = (ImageDomain(name, shrunk(validation, plan.size)),) if len(validation) > 1 else ()
    episodes.check([domain], episodes.of_training(recipe))
    objective = Adapting(trainee(trunk, plan), [domain], held, recipe, plan)
    trained = train(objective, recipe, run)
    return finished(name, plan, trained, (region,)), trained
