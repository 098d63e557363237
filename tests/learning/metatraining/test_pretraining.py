"""Supervised pre-training: all classes at once, in the same loop, of which the network is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from learnd.errors import LearndError, SettingsError
from learnd.learning.metatraining.core_threads import threads
from learnd.learning.metatraining.outer_loop import Run
from learnd.learning.metatraining.pretraining import Pretraining, Supervised, pretrain, pretraining
from learnd.settings.meta_training_recipe import Recipe
from tests.learning.domains import tiny_domains
from tests.tiny import tiny_backbone

RECIPE = Recipe(steps=6, validate_every=3, validation_episodes=4, queries=3, rate=1e-2)
OPTIONS = Pretraining(images=32)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def test_a_batch_has_an_equal_share_of_every_domain_and_classes_are_numbered_over_all() -> None:
    training, validation = tiny_domains()
    objective = Supervised(tiny_backbone(), training, validation, RECIPE, OPTIONS)
    images, labels = objective.batch(torch.Generator().manual_seed(0))
    assert images.shape == (32, 1, 12, 12)
    assert bool((labels[:16] < 8).all())
    assert bool((labels[16:] >= 8).all())
    for image, label in zip(images, labels.tolist(), strict=True):
        classes = training[label // 8].classes
        own = classes.images[classes.rows[label % 8]].float()
        assert bool((own == image).flatten(1).all(1).any())


def test_it_learns_and_moves_the_statistics_of_a_copy() -> None:
    backbone = tiny_backbone()
    training, validation = tiny_domains()
    recipe = replace(RECIPE, steps=40, validate_every=40)
    objective = Supervised(backbone.private(), training, validation, recipe, OPTIONS)

    def loss_of(params: dict[str, torch.Tensor]) -> float:
        params = {name: value.clone().requires_grad_() for name, value in params.items()}
        return float(objective.gradients(params, 0.0, torch.Generator().manual_seed(3))[0])

    trained = pretrain(OPTIONS, backbone, training, validation, recipe, Run())
    assert loss_of(trained.weights.params) < 0.9 * loss_of(objective.start())
    assert not torch.equal(trained.weights.buffers["3.running_mean"], backbone.module.state_dict()["3.running_mean"])
    assert trained.best is not None


def test_a_resume_is_exact(tmp_path: Path) -> None:
    def run(run: Run) -> dict[str, torch.Tensor]:
        return pretrain(OPTIONS, tiny_backbone(), *tiny_domains(), RECIPE, run).weights.params

    asked = iter([False] * 2 + [True])
    run(Run(tmp_path / "a.safetensors", stop=lambda: next(asked)))
    resumed, whole = run(Run(tmp_path / "a.safetensors")), run(Run())
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_options_that_do_not_exist_or_do_not_fit() -> None:
    assert pretraining({"images": 64, "scale": 5}) == Pretraining(images=64, scale=5)
    with pytest.raises(SettingsError, match="has no option 'imges'") as caught:
        pretraining({"imges": 64})
    assert caught.value.remedy == "did you mean 'images'?"
    for wrong in ({"images": 1}, {"images": "many"}, {"images": 2.5}, {"smoothing": 1.0}, {"scale": 0}):
        with pytest.raises(SettingsError):
            pretraining(wrong)


def test_a_single_class_is_nothing_to_tell_apart() -> None:
    (domain, _), _ = tiny_domains()
    one = replace(domain, classes=domain.classes.take([0]))
    with pytest.raises(LearndError, match="not two classes"):
        pretrain(OPTIONS, tiny_backbone(), (one,), (), RECIPE, Run())
