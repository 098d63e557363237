"""An adapter is given another domain where it is surely better there than the trunk, and only there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from learnd.errors import LearndError, StateError
from learnd.learning.metatraining.corpus import ImageClasses
from learnd.learning.networks.adapters import IDENTITY, pack
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.processes.extend_adapter import extended, main
from learnd.messages.jobs import BackboneSpec
from tests.learning.drawn import random_adapter, random_lite0_meta


class Corner(nn.Module):
    """Sees the first pixel alone."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([images[:, 0, 0, 0], torch.ones(len(images))], 1)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    path = random_lite0_meta(tmp_path_factory.mktemp("meta") / "lite0-meta.safetensors", radius=0.0)
    return load_backbone(BackboneSpec("lite0-meta", str(path)))


@pytest.fixture(scope="module")
def classes() -> ImageClasses:
    """Two classes of noise; their images differ in the first pixel."""
    images = torch.randint(256, (32, 3, 128, 128), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[:16, :, 0, 0], images[16:, :, 0, 0] = 0, 255
    return ImageClasses(images, tuple(torch.arange(32).split(16)), torch.zeros(2, dtype=torch.int64), ("a", "b"))


def test_where_it_is_surely_better_it_gets_the_region_of_these_images(
    backbone: Backbone, classes: ImageClasses
) -> None:
    seeing = replace(backbone, adapters={"drawn": replace(backbone.adapters["drawn"], module=Corner())})
    before = seeing.adapted("drawn").adapter
    after, accuracy = extended(seeing, "drawn", classes, seed=1)
    assert before is not None
    assert after.regions[:1] == before.regions
    assert not before.near(backbone.embed(classes.images)).any()
    assert after.near(backbone.embed(classes.images)).float().mean() > 0.9
    assert accuracy["drawn"] == 1.0 > accuracy[IDENTITY] + 0.2


def test_where_it_is_not_the_trunk_keeps_the_domain(backbone: Backbone, classes: ImageClasses) -> None:
    with pytest.raises(LearndError, match="that is not surely better") as caught:
        extended(backbone, "drawn", classes, seed=1)
    assert caught.value.where == "adapter drawn"


def test_an_adapter_that_is_not_there_is_named(backbone: Backbone, classes: ImageClasses) -> None:
    with pytest.raises(StateError, match="no adapter 'other'"):
        extended(backbone, "other", classes, seed=1)
    with pytest.raises(LearndError, match="is the trunk itself") as caught:
        extended(backbone, IDENTITY, classes, seed=1)
    assert "drawn" in caught.value.remedy


@pytest.mark.slow
def test_the_command_refuses_what_is_not_measured_better_and_writes_nothing(tmp_path: Path) -> None:
    trunk = load_backbone(BackboneSpec("lite0"))
    tensors, note = pack([random_adapter(trunk.module)])
    save_file(tensors, tmp_path / "old.safetensors", metadata=note)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(15):
            Image.new("L", (32, 32), level + number).save(tmp_path / "data" / name / f"{number}.png")
    old, new = str(tmp_path / "old.safetensors"), tmp_path / "new.safetensors"
    with pytest.raises(LearndError, match="that is not surely better"):
        main([old, "--name", "drawn", "--data", str(tmp_path / "data"), "--out", str(new)])
    assert not new.exists()
