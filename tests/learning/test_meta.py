"""Meta-training: what an episode is, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from learnd.learning.backbones import load_backbone
from learnd.learning.conv4 import GLYPHS, Conv4
from learnd.learning.meta import (
    Classes,
    PrototypeLoss,
    Recipe,
    jitter,
    main,
    meta_train,
    read_classes,
    sample_episode,
    with_rotations,
)
from learnd.wire import BackboneSpec

SMALL = Recipe(steps=8, ways=6, queries=2, shots=(1,), hard_groups=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four groups of four classes: a bar at one of 16 angles, drawn six times with a little noise."""
    root = tmp_path_factory.mktemp("glyphs")
    draw = torch.Generator().manual_seed(0)
    line = torch.linspace(-1, 1, 28)
    y, x = torch.meshgrid(line, line, indexing="ij")
    for number in range(16):
        angle = torch.tensor(number * torch.pi / 16)
        ink = ((x * angle.sin() - y * angle.cos()).abs() < 0.12) & (x * angle.cos() + y * angle.sin() > 0)
        folder = root / f"group{number // 4}" / f"class{number % 4}"
        folder.mkdir(parents=True)
        for shot in range(6):
            noisy = 255 - ink * 255 * (torch.rand(28, 28, generator=draw) > 0.1)
            Image.fromarray(noisy.to(torch.uint8).numpy()).save(folder / f"{shot}.png")
    return root


@pytest.fixture(scope="module")
def classes(root: Path) -> Classes:
    return read_classes(root, GLYPHS)


def test_a_root_is_read_as_groups_of_classes(classes: Classes) -> None:
    assert classes.images.shape == (96, 1, 28, 28)
    assert [len(rows) for rows in classes.rows] == [6] * 16
    assert classes.groups.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


def test_rotations_are_classes_of_their_own(classes: Classes) -> None:
    turned = with_rotations(classes)
    assert len(turned.rows) == 64
    first, quarter = turned.images[turned.rows[0][0]], turned.images[turned.rows[16][0]]
    assert torch.equal(torch.rot90(first, 1, (1, 2)), quarter)


def test_an_episode_has_different_images_of_different_classes(classes: Classes) -> None:
    rows = sample_episode(classes, SMALL, 1, False, torch.Generator().manual_seed(1))
    assert rows.shape == (6, 3)
    assert len(rows.unique()) == rows.numel()
    assert len({int(row) // 6 for row in rows[:, 0]}) == 6
    assert all((row // 6).unique().numel() == 1 for row in rows)


def test_a_hard_episode_comes_from_few_groups(classes: Classes) -> None:
    rows = sample_episode(classes, SMALL, 1, True, torch.Generator().manual_seed(1))
    assert (rows // 24).unique().numel() == 1


def test_jitter_moves_every_image_its_own_way_and_not_far(classes: Classes) -> None:
    images = classes.images[:8].float()
    moved = jitter(images[:1].expand(8, -1, -1, -1), torch.Generator().manual_seed(1))
    assert len({float(image.sum()) for image in moved}) == 8
    assert (moved.mean((1, 2, 3)) - images[0].mean()).abs().max() < 25


def test_the_loss_is_the_cross_entropy_to_the_prototypes_by_hand() -> None:
    embedded = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]], [[4.0, 0.0], [4.0, 2.0], [4.0, 1.0]]])
    loss, accuracy = PrototypeLoss(2)(embedded, 2)  # prototypes (1, 0) and (4, 1), queries (0, 0) and (4, 1)
    logits = -torch.tensor([[1.0, 17.0], [10.0, 0.0]]) / 2
    assert torch.isclose(loss, torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])))
    assert accuracy == 1.0


@pytest.mark.slow
def test_it_learns_and_the_same_seed_learns_the_same(classes: Classes) -> None:
    def train() -> tuple[list[float], torch.Tensor]:
        torch.manual_seed(3)
        network = Conv4()
        losses = [figures["loss"] for figures in meta_train(network, classes, SMALL)]
        return losses, next(network.parameters()).detach()

    losses, weights = train()
    again, same = train()
    assert sum(losses[-3:]) < sum(losses[:3])
    assert losses == again
    assert torch.equal(weights, same)


def test_the_command_writes_weights_that_load_as_conv4(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights.safetensors"
    main(["--data", str(root), "--out", str(out), "--steps", "2"])
    with safe_open(out, framework="pt") as file:
        assert '"steps": 2' in file.metadata()["recipe"]
    backbone = load_backbone(BackboneSpec("conv4", file=str(out)), torch.device("cpu"))
    assert backbone.embed(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 256)
