"""Meta-training of an adapter: only what an adapter may change learns, and what is written is what was trained."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.adapters import DOWN, UP, adapt_trunk
from learnd.learning.adapters_train import (
    RECIPE,
    Adapting,
    Plan,
    every_image_once,
    finished,
    fresh_tensors,
    main,
    shrunk,
    train_adapter,
    trainee,
)
from learnd.learning.backbones import Backbone, load_backbone
from learnd.learning.corpus import Classes, Domain
from learnd.learning.snapshots import Score
from learnd.learning.training import Figures, Run, train
from learnd.learning.zoo import read_tensors
from learnd.wire import BackboneSpec
from tests.learning.drawn import random_lite0_meta

PLAN = Plan(size=32, stages=2, features=48, rank=2, held_back=0.25)
SMALL = replace(RECIPE, steps=6, ways=(4,), queries=2, rate=1e-2, validate_every=6, validation_episodes=4)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    path = random_lite0_meta(tmp_path_factory.mktemp("trunk") / "lite0-meta.safetensors")
    return load_backbone(BackboneSpec("lite0-meta", str(path)))


@pytest.fixture(scope="module")
def classes() -> Classes:
    """Eight patterns, six noisy images of each, 128 pixels a side, in four groups."""
    draw = torch.Generator().manual_seed(0)
    patterns = F.interpolate(torch.rand(8, 1, 6, 6, generator=draw), 128).repeat_interleave(6, 0)
    images = (patterns * 200 + torch.rand(48, 1, 128, 128, generator=draw) * 55).to(torch.uint8)
    names = tuple(f"group{k // 2}/class{k}" for k in range(8))
    return Classes(images, tuple(torch.arange(48).split(6)), torch.arange(8) // 2, names)


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


def test_training_changes_the_whole_adapter_and_leaves_the_trunk(trunk: Backbone, classes: Classes) -> None:
    before = {name: value.clone() for name, value in trunk.module.state_dict().items()}
    objective = Adapting(PLAN, trainee(trunk, PLAN), [Domain("a", shrunk(classes, 32), "glyphs")], [], SMALL)
    start = objective.start()
    trained = train(objective, SMALL, Run())
    assert all(not torch.equal(value, start[name]) for name, value in trained.weights.params.items())
    assert all(torch.equal(value, before[name]) for name, value in trunk.module.state_dict().items())


def test_the_adapter_is_the_network_that_was_trained(trunk: Backbone, classes: Classes) -> None:
    objective = Adapting(PLAN, trainee(trunk, PLAN), [Domain("a", shrunk(classes, 32))], [], SMALL)
    trained = train(objective, SMALL, Run())
    portrait = torch.rand(40, 1280)
    adapter = finished("a", PLAN, trained, portrait)
    assert adapter.near(portrait).float().mean() == 0.95
    assert all(value.dtype == torch.float16 for value in adapter.tensors.values())
    objective.backbone.module.eval()
    with torch.no_grad():
        expected = objective.backbone.embed(shrunk(classes, 32).images[:4], objective.kernels(trained.weights.params))
        grey = (classes.images[:4].float() / 127.5 - 1).expand(-1, 3, -1, -1)
        features = adapt_trunk(trunk.module, 128, adapter).eval()(grey)
    assert (F.cosine_similarity(features, expected) > 0.99).all()


def test_some_groups_are_held_back_and_validate(trunk: Backbone, classes: Classes) -> None:
    events: list[Figures | Score] = []
    adapter, trained = train_adapter("a", trunk, classes, PLAN, SMALL, Run(watch=events.append))
    scores = [event for event in events if isinstance(event, Score)]
    assert trained.best == scores[-1]
    assert 0.3 < scores[-1].accuracy <= 1.0
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, Figures))
    assert (adapter.name, adapter.size, adapter.stages) == ("a", 32, 2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_writes_an_adapter_with_its_recipe(classes: Classes, tmp_path: Path) -> None:
    for name, rows in zip(classes.names, classes.rows, strict=True):
        (tmp_path / "data" / name).mkdir(parents=True)
        for row in rows.tolist():
            Image.fromarray(classes.images[row, 0].numpy()).save(tmp_path / "data" / name / f"{row}.png")
    out = tmp_path / "made.safetensors"
    options = ["--name", "drawn", "--out", str(out), "--steps", "1", "--threads", "1"]
    assert main(["--data", str(tmp_path / "data"), *options]) == 0
    with safe_open(out, framework="pt") as opened:
        made = json.loads(opened.metadata()["made.drawn"])
    assert (made["recipe"]["steps"], made["recipe"]["seed"], made["plan"]["size"]) == (1, 1, 48)
    assert 0 <= made["validation"]["accuracy"] <= 1
    assert read_tensors(out)[0]["adapters/drawn/pool.weight"].shape == (448, 1, 3, 3)
