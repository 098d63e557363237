"""What every plugin of a process shares: random numbers, modes, threads.  To be left as it was found."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Any

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True)
class World:
    """The global state of Python, NumPy and torch at one moment."""

    torch_random: Tensor
    numpy_random: dict[str, Any]
    python_random: tuple[Any, ...]
    gradients: bool
    dtype: torch.dtype
    threads: int
    deterministic: int

    @classmethod
    def now(cls) -> World:
        return cls(
            torch.get_rng_state(),
            dict(numpy.random.get_state(legacy=False)),
            random.getstate(),
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.get_deterministic_debug_mode(),
        )

    @staticmethod
    def seed(number: int) -> None:
        """Seed all three sources of random numbers."""
        torch.manual_seed(number)
        numpy.random.seed(number)
        random.seed(number)

    def restore(self) -> None:
        torch.set_rng_state(self.torch_random)
        numpy.random.set_state(self.numpy_random)
        random.setstate(self.python_random)
        torch.set_grad_enabled(self.gradients)
        torch.set_default_dtype(self.dtype)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        torch.set_deterministic_debug_mode(self.deterministic)

    def changed_to(self, other: World) -> list[str]:
        """What differs, by the names of the fields."""
        pairs = [(field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return [name for name, before, after in pairs if not _equal(before, after)]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return repr(_plain(first)) == repr(_plain(second))
    return bool(first == second)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """NumPy's generator state with its array as bytes, so that it compares."""
    return {**state, "state": {key: numpy.asarray(value).tobytes() for key, value in state["state"].items()}}
