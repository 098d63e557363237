"""Meta-training of an adapter: only what an adapter may change learns, and what is written is what was trained."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.metatraining.adapter_training import (
    DOMAIN_KINDS,
    RECIPE,
    Adapting,
    Plan,
    every_image_once,
    finished,
    fresh_tensors,
    plan_of,
    region_of,
    shrunk,
    train_adapter,
    trainee,
)
from learnd.learning.metatraining.corpus import ImageClasses, ImageDomain, hold_back
from learnd.learning.metatraining.outer_loop import Figures, Run, train
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.learning.networks.adapters import DOWN, UP, Adapter, adapt_trunk
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.messages.jobs import BackboneSpec
from tests.learning.drawn import patterns, random_lite0_meta

PLAN = Plan(size=32, stages=2, features=48, rank=2, held_back=0.25)
WHOLE = Plan(size=32, stages=7, features=None, rank=2, augment="photographs", turns=1)
SMALL = replace(RECIPE, steps=6, ways=(4,), queries=2, rate=1e-2, validate_every=6, validation_episodes=4)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    path = random_lite0_meta(tmp_path_factory.mktemp("trunk") / "lite0-meta.safetensors")
    return load_backbone(BackboneSpec("lite0-meta", str(path)))


@pytest.fixture(scope="module")
def classes() -> ImageClasses:
    return patterns()


def test_the_loss_of_a_task_agrees_with_its_tasks_one_by_one() -> None:
    torch.manual_seed(0)
    embedded, scale = torch.randn(3, 4, 5), torch.tensor(2.0)
    unit = F.normalize(embedded, dim=2)

    def one(query: Tensor, means: Tensor, label: int) -> Tensor:
        return F.cross_entropy(-(means - query).square().sum(1)[None] * scale, torch.tensor([label]))

    shots = [one(unit[w, q], unit[:, s], w) for s in range(4) for q in range(4) for w in range(3) if q != s]
    rest: list[Tensor] = []
    for w in range(3):
        for q in range(4):
            means = unit.mean(1)
            means[w] = unit[w, torch.arange(4) != q].mean(0)
            rest.append(one(unit[w, q], means, w))
    torch.testing.assert_close(every_image_once(embedded, scale), torch.stack(shots).mean() + torch.stack(rest).mean())


def test_features_that_tell_the_classes_apart_cost_nothing() -> None:
    assert float(every_image_once(torch.eye(4)[:, None].expand(-1, 3, -1), torch.tensor(20.0))) < 1e-6


def test_what_is_trained_is_small_and_starts_where_the_trunk_is(trunk: Backbone) -> None:
    network = trainee(trunk, PLAN).module
    tensors = fresh_tensors(network, PLAN.rank, seed=1)
    own = network.state_dict()
    assert "conv_stem.weight" not in tensors
    assert torch.equal(tensors["blocks.1.0.conv_dw.weight"], own["blocks.1.0.conv_dw.weight"])
    residual = tensors["blocks.1.0.conv_pw.weight" + UP] @ tensors["blocks.1.0.conv_pw.weight" + DOWN]
    assert not residual.any()
    assert "blocks.1.0.conv_pw.weight" not in tensors
    assert len(tensors["pool.weight"].unique()) > PLAN.features  # or its channels would stay equal for ever


def test_training_changes_the_whole_adapter_and_leaves_the_trunk(trunk: Backbone, classes: ImageClasses) -> None:
    before = {name: value.clone() for name, value in trunk.module.state_dict().items()}
    objective = Adapting(trainee(trunk, PLAN), [ImageDomain("a", shrunk(classes, 32), "glyphs")], [], SMALL, PLAN)
    start = objective.start()
    trained = train(objective, SMALL, Run())
    assert all(not torch.equal(value, start[name]) for name, value in trained.weights.params.items())
    assert all(torch.equal(value, before[name]) for name, value in trunk.module.state_dict().items())


def test_the_adapter_is_the_network_that_was_trained(trunk: Backbone, classes: ImageClasses) -> None:
    objective = Adapting(trainee(trunk, PLAN), [ImageDomain("a", shrunk(classes, 32))], [], SMALL, PLAN)
    trained = train(objective, SMALL, Run())
    portrait = torch.rand(40, 1280)
    adapter = finished("a", PLAN, trained, (region_of(portrait),))
    assert adapter.near(portrait).float().mean() == 0.95
    assert all(value.dtype == torch.float16 for value in adapter.tensors.values())
    objective.backbone.module.eval()
    with torch.no_grad():
        expected = objective.backbone.embed(shrunk(classes, 32).images[:4], objective.kernels(trained.weights.params))
        grey = (classes.images[:4].float() / 127.5 - 1).expand(-1, 3, -1, -1)
        features = adapt_trunk(trunk.module, 128, adapter).eval()(grey)
    assert (F.cosine_similarity(features, expected) > 0.99).all()


def test_one_of_the_whole_trunk_is_trained_in_colour(trunk: Backbone, classes: ImageClasses) -> None:
    coloured = replace(classes, images=classes.images * torch.tensor([1, 0, 1], dtype=torch.uint8).view(1, 3, 1, 1))
    adapter, trained = train_adapter("a", trunk, (coloured, classes.take([])), WHOLE, SMALL, Run())
    assert (adapter.size, adapter.stages, adapter.features, trained.best) == (32, 7, None, None)
    assert adapter.near(trunk.embed(coloured.images)).float().mean() > 0.9
    network = adapt_trunk(trunk.module, 128, adapter).eval()
    with torch.no_grad():
        assert network(coloured.images[:2].float() / 127.5 - 1).shape == (2, 1280)


def test_an_adapter_that_is_there_is_trained_further_as_one_of_its_kind() -> None:
    plans = {kind: plan for kind, (plan, _) in DOMAIN_KINDS.items()}
    for kind, pool in (("glyphs", {"pool.weight": torch.zeros(448, 1, 3, 3)}), ("photographs", {})):
        plan = plans[kind]
        adapter = Adapter("a", plan.size, plan.stages, pool, ())
        assert plan_of(adapter) == plan


def test_classes_that_validate_say_how_good_it_is(trunk: Backbone, classes: ImageClasses) -> None:
    events: list[Figures | ValidationScore] = []
    training, validation = hold_back(classes, PLAN.held_back)
    adapter, trained = train_adapter("a", trunk, (training, validation), PLAN, SMALL, Run(watch=events.append))
    scores = [event for event in events if isinstance(event, ValidationScore)]
    assert trained.best == scores[-1]
    assert 0.3 < scores[-1].accuracy <= 1.0
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, Figures))
    assert (adapter.name, adapter.size, adapter.stages) == ("a", 32, 2)
