"""The cores of a CPU, each at work of its own.

The kernels of a small CNN are too short for several cores to share one; independent work they share well.  The cores
are threads: torch lets go of the interpreter while it computes.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch

from learnd.learning.networks.backbone import Backbone

Returned = TypeVar("Returned")


@dataclass(frozen=True)
class CoreThreads:
    """backbone: what work is given a private copy of, since to run a network with other weights writes into it."""

    backbone: Backbone

    @cached_property
    def _copies(self) -> queue.SimpleQueue[Backbone]:
        return queue.SimpleQueue()

    def do(self, works: Sequence[Callable[[Backbone], Returned]], cores: int) -> list[Returned]:
        """What each work returns, in their order, `cores` of them at a time.

        A core's share of torch's threads is left for what a work computes.  Raises what a work raises, once those that
        have begun have ended.
        """
        if cores == 1:
            return [work(self.backbone) for work in works]
        for _ in range(cores - self._copies.qsize()):
            self._copies.put(self.backbone.private())

        def lent(work: Callable[[Backbone], Returned]) -> Returned:
            copy = self._copies.get()
            try:
                return work(copy)
            finally:
                self._copies.put(copy)

        with threads(max(1, torch.get_num_threads() // cores)), ThreadPoolExecutor(cores, "core") as pool:
            return list(pool.map(lent, works))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within, torch gives an operation so many threads; a thread that begins there has as many."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
