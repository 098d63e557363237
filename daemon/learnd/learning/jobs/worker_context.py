"""What a worker has in hand while it works: its backbone, its algorithms, a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from learnd.learning.networks.backbone import Backbone
from learnd.learning.plugin_host.catalogue import Catalogue


class Progress(Protocol):
    """How far a job is: its stage, and done of total.  algorithm: the one that is called next, where one is.

    Should that end the process, this was its last word.
    """

    def __call__(self, stage: str, done: int, total: int, algorithm: str = "", /) -> None: ...


@dataclass(frozen=True)
class WorkerContext:
    """What a worker holds from job to job.  threads are for decoding."""

    backbone: Backbone
    catalogue: Catalogue
    threads: int = 1
    log: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Stopwatch:
    """Seconds by stage, as the job goes through them; and where the job reports how far it is."""

    progress: Progress

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
