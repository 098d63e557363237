"""Work recorded once as a CUDA graph and played again.

A meta-step of a small CNN is a thousand short kernels, and a GPU runs them faster than Python can ask for them.

Nothing of it changes what is computed.  Where recording fails, or a replay measures no faster, the work is done as it
was; so it is on every other device.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Work = Callable[[Sequence[Tensor]], list[Tensor]]  # the same operations each time, on tensors of the same shapes

WARM = 3  # calls before one is recorded: libraries choose kernels and take memory in the first


@dataclass(frozen=True)
class Recording:
    """A graph, where it reads its inputs, and where it leaves its results."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    results: list[Tensor]

    def replay(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        for held, given in zip(self.inputs, inputs, strict=True):
            held.copy_(given)
        self.graph.replay()
        return [result.clone() for result in self.results]  # the next replay writes over them


@dataclass
class _TimedTrial:
    """What is known of one kind of work."""

    calls: int = 0
    seconds: float = 0.0  # of the last call that was not replayed
    recording: Recording | None = None
    over: bool = False  # nothing more is to be found out


@dataclass(frozen=True)
class Recordings:
    """Those of one training, by kind of work.  log: takes a line about work that cannot be recorded."""

    log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)
    trials: dict[Hashable, _TimedTrial] = field(default_factory=dict)
    pool: list[Any] = field(default_factory=list)  # the handle of the memory of all graphs: one replays at a time

    def run(self, kind: Hashable, inputs: Sequence[Tensor], work: Work) -> list[Tensor]:
        """What work makes of the inputs, which lie on one device.

        kind: names the work; None: it is never recorded.  What it reads besides the inputs must keep its place in
        memory; it may write there, once a call.
        """
        if kind is None or inputs[0].device.type != "cuda":
            return work(inputs)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        trial = self.trials.setdefault((kind, shapes), _TimedTrial())
        trial.calls += 1
        if trial.over or trial.calls < WARM:
            return work(inputs) if trial.recording is None else trial.recording.replay(inputs)
        if trial.calls == WARM:
            results, trial.seconds = _timed(lambda: work(inputs))
            return results
        if trial.recording is None:
            trial.recording = self._record(inputs, work)
            trial.over = trial.recording is None
            return work(inputs) if trial.recording is None else trial.recording.replay(inputs)
        recording = trial.recording
        results, seconds = _timed(lambda: recording.replay(inputs))
        trial.over = True
        if seconds >= trial.seconds:
            trial.recording = None
        return results

    def _record(self, inputs: Sequence[Tensor], work: Work) -> Recording | None:
        held = tuple(tensor.clone() for tensor in inputs)
        if not self.pool:
            self.pool.append(torch.cuda.graph_pool_handle())
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool[0], capture_error_mode="thread_local"):
                results = work(held)
        except RuntimeError as error:  # it read a value on the host, or did what no graph can hold
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.log(f"this work cannot be recorded, and goes on step by step: {first}")
            return None
        return Recording(graph, held, results)


def _timed(call: Callable[[], list[Tensor]]) -> tuple[list[Tensor], float]:
    """What it returns, and the seconds until the device had done it."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    results = call()
    torch.cuda.synchronize()
    return results, time.perf_counter() - started
