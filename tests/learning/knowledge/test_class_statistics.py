"""Statistics say all there is to say about means and scatter, and survive the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from learnd.errors import StateError
from learnd.identity import sha256_of
from learnd.learning.knowledge import class_statistics
from learnd.learning.knowledge.class_statistics import Statistics, statistics, unit


def cloud(images: int, width: int, ways: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, D) and labels (N,), not sorted by class; every class has an image."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % ways
    return torch.randn(images, width, generator=generator) + labels[:, None], labels


def scatter_of(features: Tensor, labels: Tensor, ways: int) -> Tensor:
    x = unit(features)
    parts = [x[labels == k] - x[labels == k].mean(0) for k in range(ways)]
    return sum((part.T @ part for part in parts), torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64))


@pytest.mark.parametrize("images", [9, 16, 200], ids=["fewer than features", "as many", "more"])
def test_sums_counts_and_scatter(images: int) -> None:
    features, labels = cloud(images, width=16)
    known = statistics(features, labels, ["a", "b", "c"])
    assert known.count.tolist() == [int((labels == k).sum()) for k in range(3)]
    for k in range(3):
        torch.testing.assert_close(known.sum[k], unit(features)[labels == k].sum(0))
    assert len(known.within) <= 16
    torch.testing.assert_close(known.within.T @ known.within, scatter_of(features, labels, 3))


@pytest.mark.parametrize("images", [9, 200])
def test_witnesses_are_images_less_their_class_mean(images: int) -> None:
    features, labels = cloud(images, width=16)
    known = statistics(features, labels, ["a", "b", "c"])
    whole = known.witnesses + (known.sum / known.count[:, None])[known.owners]
    distances = torch.cdist(whole, unit(features))
    assert bool((distances.amin(1) < 1e-6).all())
    assert torch.equal(labels[distances.argmin(1)], known.owners)


@pytest.mark.parametrize("images", [9, 200])
def test_they_survive_the_disk_bit_for_bit(images: int, tmp_path: Path) -> None:
    known = statistics(*cloud(images, width=16), ["a", "b", "ü/1"])
    class_statistics.save(known, tmp_path / "s.safetensors", "hash")
    again = class_statistics.load(tmp_path / "s.safetensors", "hash", sha256_of(tmp_path / "s.safetensors"))
    assert again.classes == known.classes
    for name in ("count", "sum", "within", "witnesses", "owners"):
        assert torch.equal(getattr(again, name), getattr(known, name))


def test_the_features_of_an_adapter_come_back_beside_the_plain_ones(tmp_path: Path) -> None:
    plain = statistics(*cloud(9, width=16), ["a", "b", "c"])
    adapted = replace(statistics(*cloud(200, width=4), ["a", "b", "c"]), adapter="glyphs")
    path = tmp_path / "s.safetensors"
    class_statistics.save(replace(plain, adapted=adapted), path, "hash")
    again = class_statistics.load(path, "hash", sha256_of(path))
    assert (again.adapter, again.sum.shape) == ("identity", (3, 16))
    assert again.adapted is not None
    assert again.adapted.adapter == "glyphs"
    for name in ("count", "sum", "within", "witnesses", "owners"):
        assert torch.equal(getattr(again.adapted, name), getattr(adapted, name))
        assert torch.equal(getattr(again, name), getattr(plain, name))


def test_nonsense_under_an_adapter_is_never_written(tmp_path: Path) -> None:
    plain = statistics(*cloud(9, width=16), ["a", "b", "c"])
    adapted = replace(plain, adapter="glyphs", sum=plain.sum * float("nan"))
    with pytest.raises(ValueError, match="under the adapter glyphs, sum holds a value that is not finite"):
        class_statistics.save(replace(plain, adapted=adapted), tmp_path / "s.safetensors", "hash")


def test_a_class_without_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an image"):
        statistics(torch.zeros(2, 4), torch.tensor([0, 2]), ["a", "b", "c"])


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        statistics(torch.tensor([[float("nan"), 1.0]]), torch.tensor([0]), ["a"])


def test_nonsense_is_never_written(tmp_path: Path) -> None:
    good = statistics(*cloud(9, 16), ["a", "b", "c"])
    bad = Statistics(good.classes, good.count, good.sum / 0, good.within, good.witnesses, good.owners)
    with pytest.raises(ValueError, match="sum holds a value that is not finite"):
        class_statistics.save(bad, tmp_path / "s.safetensors", "hash")
    assert not (tmp_path / "s.safetensors").exists()


def test_another_backbone_is_refused_with_both_hashes(tmp_path: Path) -> None:
    class_statistics.save(statistics(*cloud(9, 16), ["a", "b", "c"]), tmp_path / "s.safetensors", "old")
    with pytest.raises(StateError, match="backbone old, not new"):
        class_statistics.load(tmp_path / "s.safetensors", "new", sha256_of(tmp_path / "s.safetensors"))


@pytest.mark.parametrize("damage", ["gone", "truncated", "flipped", "shape", "metadata"])
def test_a_damaged_file_is_explained(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    class_statistics.save(statistics(*cloud(9, 16), ["a", "b", "c"]), path, "hash")
    tensors, committed = load_file(path), sha256_of(path)
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "flipped":  # still a file that can be read, of numbers that are finite
        path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    elif damage == "shape":
        note = {"classes": '["a", "b", "c"]', "backbone_hash": "hash"}
        save_file({**tensors, "within": torch.zeros(2, 5, dtype=torch.float64)}, path, metadata=note)
        committed = sha256_of(path)  # it never made sense
    else:
        save_file(tensors, path)
        committed = sha256_of(path)
    with pytest.raises(StateError) as caught:
        class_statistics.load(path, "hash", committed)
    assert caught.value.where == str(path)
    assert caught.value.remedy
