"""Batch norm by the images at hand: what it makes of them, and that the shared network stays as it was."""

from __future__ import annotations

import pytest
import torch

from learnd.learning.metatraining.batch_norm import normalised_by
from learnd.learning.networks.backbone import fresh_backbone

BACKBONE = fresh_backbone("conv4", seed=1)
IMAGES = torch.randint(256, (40, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_the_features_of_the_images_themselves_are_standardised() -> None:
    features = normalised_by(BACKBONE, IMAGES).embed(IMAGES)
    assert features.mean(0).abs().max() < 0.02  # statistics of a pass are of the unbiased variance, layer by layer
    assert torch.allclose(features.std(0), torch.ones(256), atol=0.01)


def test_an_image_is_told_by_itself_alone() -> None:
    own = normalised_by(BACKBONE, IMAGES)
    assert torch.allclose(own.embed(IMAGES[:1]), own.embed(IMAGES)[:1], atol=1e-5)


def test_a_share_lies_between_both_and_none_is_the_network_as_it_was() -> None:
    last = ("norm.running_mean", "norm.running_var")
    whole, half, none = (normalised_by(BACKBONE, IMAGES, share).module.state_dict() for share in (1.0, 0.5, 0.0))
    for name in last:
        assert torch.allclose(half[name], (whole[name] + none[name]) / 2, atol=1e-5)
        assert torch.equal(none[name], BACKBONE.module.state_dict()[name])


def test_the_shared_network_is_left_alone() -> None:
    before = {name: value.clone() for name, value in BACKBONE.module.state_dict().items()}
    normalised_by(BACKBONE, IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in BACKBONE.module.state_dict().items())
    assert not BACKBONE.module.training


@pytest.mark.parametrize(("images", "share"), [(1, 1.0), (2, 1.5), (2, -0.1)])
def test_one_image_or_no_share_is_refused(images: int, share: float) -> None:
    with pytest.raises(ValueError, match="at least two images"):
        normalised_by(BACKBONE, IMAGES[:images], share)
