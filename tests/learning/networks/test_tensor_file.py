"""Files of tensors that are the same, to the byte, whenever they are written."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from learnd.learning.networks.tensor_file import write_tensors

TENSORS = {"mean": torch.arange(6.0).reshape(2, 3), "count": torch.tensor([3, 4]), "odd": torch.tensor([True] * 3)}
NOTE = {"classes": '["á", "b"]', "algorithm": "ridge", "options": "{}", "schema": "1", "adapter": "identity"}


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    write_tensors(TENSORS, tmp_path / "x", NOTE)
    with safe_open(tmp_path / "x", framework="pt") as opened:
        assert opened.metadata() == NOTE
        assert set(opened.keys()) == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert torch.equal(opened.get_tensor(name), tensor)


def test_the_bytes_are_always_the_same_in_whatever_order_it_is_said(tmp_path: Path) -> None:
    for number in range(8):
        turned = [*NOTE.items()][number % 5 :] + [*NOTE.items()][: number % 5]
        write_tensors(dict([*TENSORS.items()][:: (-1) ** number]), tmp_path / str(number), dict(turned))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_the_data_lies_aligned(tmp_path: Path) -> None:
    for length in range(9):
        write_tensors(TENSORS, tmp_path / "x", {"note": "x" * length})
        assert int.from_bytes((tmp_path / "x").read_bytes()[:8], "little") % 8 == 0
