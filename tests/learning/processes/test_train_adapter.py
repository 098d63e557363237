"""The command that trains an adapter: what it writes, and beside what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from learnd.learning.networks.adapters import unpack
from learnd.learning.networks.zoo import read_tensors
from learnd.learning.processes.train_adapter import main
from tests.learning.drawn import patterns


@pytest.mark.slow
def test_the_command_writes_an_adapter_with_its_recipe(tmp_path: Path) -> None:
    classes = patterns()
    for name, rows in zip(classes.names, classes.rows, strict=True):
        (tmp_path / "data" / name).mkdir(parents=True)
        for row in rows.tolist():
            Image.fromarray(classes.images[row, 0].numpy()).save(tmp_path / "data" / name / f"{row}.png")
    data, first, second = tmp_path / "data", tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    options = ["--data", str(data), "--steps", "1", "--validation-episodes", "4"]
    assert main([*options, "--name", "drawn", "--out", str(first)]) == 0
    coloured = ["--kind", "photographs", "--name", "small", "--validation", str(data), "--beside", str(first)]
    assert main([*options, *coloured, "--out", str(second)]) == 0
    with safe_open(second, framework="pt") as opened:
        made = {name: json.loads(opened.metadata()[f"made.{name}"]) for name in ("drawn", "small")}
    assert [(own["recipe"]["steps"], own["plan"]["size"]) for own in made.values()] == [(1, 48), (1, 96)]
    assert all(0 <= own["validation"]["accuracy"] <= 1 for own in made.values())
    (before, _), (tensors, note) = read_tensors(first), read_tensors(second)
    assert all(torch.equal(tensors[name], value) for name, value in before.items())
    assert [adapter.name for adapter in unpack(tensors, note, "")[1]] == ["drawn", "small"]
    assert tensors["adapters/drawn/pool.weight"].shape == (448, 1, 3, 3)
    assert "adapters/small/pool.weight" not in tensors
