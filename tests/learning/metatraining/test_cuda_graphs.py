"""Recorded work, as far as it can be seen without a GPU; the rest is in test_gpu.py."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from learnd.learning.metatraining.cuda_graphs import WARM, Recordings


def test_on_a_cpu_the_work_is_done_each_time() -> None:
    lines: list[str] = []
    recordings = Recordings(lines.append)
    calls = 0

    def work(tensors: Sequence[Tensor]) -> list[Tensor]:
        nonlocal calls
        calls += 1
        return [tensors[0] * float(tensors[0].sum())]

    for number in range(WARM + 3):
        (found,) = recordings.run("any", [torch.full((2,), float(number))], work)
        assert found.tolist() == [2.0 * number * number] * 2
    assert calls == WARM + 3
    assert not recordings.trials
    assert not lines
