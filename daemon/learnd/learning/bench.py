"""What a worker has in hand while it works: its backbone, its algorithms, a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from learnd.learning.backbones import Backbone
from learnd.learning.catalogue import Catalogue

Progress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class Bench:
    """What a worker holds from job to job.  threads are for decoding."""

    backbone: Backbone
    catalogue: Catalogue
    threads: int = 1
    log: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Stopwatch:
    """Seconds by stage, as the job goes through them."""

    started: float = field(default_factory=time.monotonic)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before = time.monotonic()
        yield
        self.stages[name] = round(time.monotonic() - before, 6)

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self.started, 6)
