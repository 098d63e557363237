"""Which adapter a task uses is decided by its own support."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Context
from learnd.learning.jobs.adapter_choice import SAMPLE, choose_adapter, decide, left_out, sample, surely_better
from learnd.learning.networks.adapters import Region
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.messages.jobs import BackboneSpec
from tests.learning.drawn import random_conv4, random_lite0_meta


def right(hits: int, of: int) -> Tensor:
    """Return which of `of` images are classified correctly, (of,): the first `hits`."""
    return torch.arange(of) < hits


def test_every_image_is_told_by_the_mean_of_the_others() -> None:
    features = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.1, 1.0], [1.0, 0.2], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1, 2])  # the image of class 2 is alone: a rival, but never left out
    assert left_out(features, labels).tolist() == [True, True, False, False]


def test_left_out_agrees_with_really_leaving_out() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(40, 6), torch.arange(40) % 5
    expected: list[bool] = []
    for i in range(40):
        rest = torch.arange(40) != i
        unit = F.normalize(features, dim=1)
        means = torch.stack([unit[rest & (labels == k)].mean(0) for k in range(5)])
        expected.append(bool((F.normalize(means, dim=1) @ unit[i]).argmax() == labels[i]))
    assert left_out(features, labels).tolist() == expected
    assert 0 < sum(expected) < 40


@pytest.mark.parametrize(
    ("ways", "shots", "size"), [(5, 4, 20), (5, 40, 100), (30, 10, 90), (80, 3, 100), (300, 1, 50)]
)
def test_a_sample_takes_as_many_of_each_class_and_two_at_least(ways: int, shots: int, size: int) -> None:
    labels = torch.arange(ways * shots) % ways
    rows = sample(labels, torch.Generator().manual_seed(0))
    assert len(rows) == len(set(rows.tolist())) == size <= SAMPLE
    taken = torch.bincount(labels[rows], minlength=ways)
    assert set(taken[taken > 0].tolist()) == {min(shots, max(2, SAMPLE // ways))}


def test_a_tie_goes_to_the_identity() -> None:
    assert decide({"identity": right(9, 20), "glyphs": right(9, 20)}, {"glyphs": 0.2}) == "identity"


def test_few_images_more_are_no_proof() -> None:
    assert decide({"identity": right(12, 20), "glyphs": right(20, 20)}, {"glyphs": 0.0}) == "identity"
    assert decide({"identity": right(11, 20), "glyphs": right(20, 20)}, {"glyphs": 0.0}) == "glyphs"


def test_who_looks_like_a_domain_gets_its_adapter_where_nothing_can_be_measured() -> None:
    nothing = right(0, 0)
    measured = {"identity": nothing, "cells": nothing, "glyphs": nothing}
    assert decide(measured, {"cells": 0.6, "glyphs": 0.9}) == "glyphs"
    assert decide(measured, {"cells": 0.7, "glyphs": 0.4}) == "identity"


def test_looks_do_not_help_an_adapter_that_is_surely_worse() -> None:
    assert decide({"identity": right(20, 20), "glyphs": right(12, 20)}, {"glyphs": 1.0}) == "glyphs"
    assert decide({"identity": right(20, 20), "glyphs": right(11, 20)}, {"glyphs": 1.0}) == "identity"


def test_of_two_that_are_surely_better_the_best() -> None:
    measured = {"identity": right(3, 20), "cells": right(12, 20), "glyphs": right(15, 20)}
    assert decide(measured, {"cells": 0.0, "glyphs": 0.0}) == "glyphs"


def test_the_sign_test_counts_only_where_the_two_differ() -> None:
    both = torch.ones(1000, dtype=torch.bool)
    left, other = torch.cat([both, right(9, 9)]), torch.cat([both, right(0, 9)])
    assert surely_better(left, other)
    assert not surely_better(other, left)
    assert not surely_better(left, left)


@pytest.fixture(scope="module")
def adaptable(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    path = random_lite0_meta(tmp_path_factory.mktemp("meta") / "lite0-meta.safetensors")
    return load_backbone(BackboneSpec("lite0-meta", str(path)))


def pictures(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def context() -> Context:
    return Context(torch.Generator().manual_seed(5))


def test_a_choice_names_every_adapter_and_what_it_told_right(adaptable: Backbone) -> None:
    images, labels = pictures(8), torch.arange(8) % 2
    choice = choose_adapter(adaptable, images, adaptable.embed(images), labels, context())
    assert [score.adapter for score in choice.scores] == ["identity", "drawn"]
    assert [score.tries for score in choice.scores] == [8, 8]
    assert choice == choose_adapter(adaptable, images, adaptable.embed(images), labels, context())


def test_one_image_a_class_is_decided_by_its_looks(adaptable: Backbone) -> None:
    images = pictures(3)
    features = adaptable.embed(images)
    drawn = adaptable.adapters["drawn"]
    assert drawn.adapter is not None
    centre = F.normalize(features, dim=1).mean(0)
    looks_like = replace(drawn, adapter=replace(drawn.adapter, regions=(Region(centre, 0.5),)))
    backbone = replace(adaptable, adapters={"drawn": looks_like})
    choice = choose_adapter(backbone, images, features, torch.arange(3), context())
    assert choice.adapter == "drawn"
    assert (choice.scores[1].tries, choice.scores[1].near) == (0, 1.0)


def test_a_backbone_without_adapters_is_the_identity(tmp_path: Path) -> None:
    conv4 = load_backbone(BackboneSpec("conv4", str(random_conv4(tmp_path / "conv4.safetensors"))))
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    choice = choose_adapter(conv4, images, conv4.embed(images), torch.arange(2), context())
    assert (choice.adapter, choice.scores) == ("identity", ())
