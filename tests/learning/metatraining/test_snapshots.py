"""A snapshot holds everything, is written whole or not at all, and belongs to one training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from learnd.errors import LearndError
from learnd.learning.metatraining.snapshots import Snapshot, TrainedWeights, ValidationScore, read_snapshot

IDENTITY = '{"recipe": {"rate": 1, "steps": 3}}'


def snapshot(best: bool = True) -> Snapshot:
    generator = torch.Generator().manual_seed(3)
    weights = TrainedWeights({"backbone.0.weight": torch.randn(2, 3, generator=generator)}, {"0.mean": torch.ones(2)})
    moments = {"backbone.0.weight": {"exp_avg": torch.randn(2, 3, generator=generator), "step": torch.tensor(3.0)}}
    kept = TrainedWeights({"backbone.0.weight": torch.zeros(2, 3)}, {}) if best else None
    return Snapshot(IDENTITY, 3, 1.5, weights, moments, generator.get_state(), kept, (ValidationScore(2, 0.5, 0.1, 9),))


@pytest.mark.parametrize("best", [True, False])
def test_everything_comes_back(best: bool, tmp_path: Path) -> None:
    path, written = tmp_path / "a.safetensors", snapshot(best)
    written.write(path)
    read = read_snapshot(path, IDENTITY)
    assert (read.step, read.seconds, read.curve) == (3, 1.5, written.curve)
    assert torch.equal(read.generator, written.generator)
    assert torch.equal(read.weights.params["backbone.0.weight"], written.weights.params["backbone.0.weight"])
    assert torch.equal(read.weights.buffers["0.mean"], torch.ones(2))
    assert (read.best is not None) == best
    for key, value in written.optimiser["backbone.0.weight"].items():
        assert torch.equal(read.optimiser["backbone.0.weight"][key], value)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_one_of_another_training_is_refused_with_what_differs(tmp_path: Path) -> None:
    snapshot().write(tmp_path / "a.safetensors")
    with pytest.raises(LearndError, match=r"differs in recipe\.rate") as caught:
        read_snapshot(tmp_path / "a.safetensors", '{"recipe": {"rate": 2, "steps": 3}}')
    assert "--restart" in (caught.value.remedy or "")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"cut short")
    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(LearndError, match="is damaged"):
        read_snapshot(tmp_path / "a.safetensors", IDENTITY)
    with pytest.raises(LearndError, match="is no training that could go on"):
        read_snapshot(tmp_path / "b.safetensors", IDENTITY)
