"""The kit finds what is broken: for each check a plugin that breaks its promise, and no other."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.errors import PluginError
from learnd.learning.conformance import checks_for
from learnd.learning.conformance.global_state import World
from learnd.learning.contract.algorithm import Algorithm, Bid, Context, HeadAlgorithm, Overdue, State, Support
from learnd.learning.contract.meta_learner import Episodes, MetaLearner, over_tasks
from learnd.learning.methods.heads import linear, prototype_head
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.messages.task import Task
from learnd_plugins.ridge import Ridge


@dataclass(frozen=True)
class Sound(HeadAlgorithm):
    """Nearest class mean, without a fault."""

    name: ClassVar[str] = "sound"
    summary: ClassVar[str] = "nearest class mean"

    sharpness: float = 1.0

    def bid(self, task: Task) -> Bid:
        return Bid(0.5, "it is sound", 0.001)

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        return {"means": torch.stack([features[labels == k].mean(0) for k in range(ways)])}  # (K, D)

    def score(self, state: State, features: Tensor) -> Tensor:
        return -self.sharpness * torch.cdist(features, state["means"])  # (N, K)


@dataclass(frozen=True)
class SoundLearner(MetaLearner):
    """The same with a meta-learnt scale, without a fault."""

    name: ClassVar[str] = "sound_learner"
    summary: ClassVar[str] = "nearest class mean, scaled"

    def bid(self, task: Task) -> Bid:
        return Bid(0.5, "it is sound", 0.001)

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        scale = self.meta_of(backbone)["log_scale"].exp()
        return {**prototype_head(support.features * scale, support.labels, support.ways, 1.0), "scale": scale}

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        return linear(backbone.embed(images) * state["scale"], state)  # (N, K)

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        return {"log_scale": torch.zeros(backbone.features)}

    def meta_loss(self, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
        def task_loss(support: Tensor, labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
            scale = meta["log_scale"].exp()
            head = prototype_head(backbone.features_of(support) * scale, labels, episodes.ways, 1.0)
            return F.cross_entropy(linear(backbone.features_of(query) * scale, head), query_labels)

        return over_tasks(task_loss, episodes)


MEMORY: dict[int, Tensor] = {}
DRAWER: list[Episodes] = []


def by_way_of_a_drawer(
    self: SoundLearner, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context
) -> Tensor:
    """There is one drawer for all threads."""
    DRAWER[:] = [episodes]
    time.sleep(0.3)
    return SoundLearner.meta_loss(self, backbone, meta, DRAWER[0], ctx)


@dataclass(frozen=True)
class Forgetful(Sound):
    """It keeps what it learnt in the process, and returns no more than where."""

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        key = int(features.double().sum() * 1e6)
        MEMORY[key] = super().fit(features, labels, ways, ctx)["means"]
        return {"key": torch.tensor(key)}

    def score(self, state: State, features: Tensor) -> Tensor:
        return -torch.cdist(features, MEMORY[int(state["key"])])


@dataclass(frozen=True)
class Table(Sound):
    """It has an option that no config.yaml can say."""

    table: dict[str, int] = field(default_factory=dict)


def failing(algorithm: type[Algorithm], new_process: bool = False) -> dict[str, str]:
    """The checks that fail, and what they saw."""
    verdicts = [check.verdict() for check in checks_for(algorithm(), new_process=new_process)]
    assert all(verdict.remedy for verdict in verdicts if verdict.outcome == "failed")
    return {verdict.check: verdict.seen for verdict in verdicts if verdict.outcome == "failed"}


def variant(base: type[Algorithm], **methods: Any) -> type[Algorithm]:
    """The same algorithm with other methods."""
    return dataclass(frozen=True)(type("Variant", (base,), methods))


Fit = Callable[[Any, Tensor, Tensor, int, Context], State]


def fit(before: Callable[[Tensor, Tensor, int], object]) -> Fit:
    """Sound.fit, and something done first."""

    def method(self: Sound, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        before(features, labels, ways)
        return Sound.fit(self, features, labels, ways, ctx)

    return method


def refuse(condition: bool) -> None:
    if condition:
        raise ValueError("not like this")


def bidding(score: float = 0.5, reason: str = "so", seconds: float = 0.001) -> Callable[[Any, Task], Bid]:
    return lambda self, task: Bid(score, reason, seconds)


def in_equal_parts(self: Sound, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
    return {"means": features.view(ways, -1, features.shape[1]).mean(1)}


def with_the_time(self: Sound, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
    return {**Sound.fit(self, features, labels, ways, ctx), "when": torch.tensor(time.perf_counter_ns())}


def swallowing(self: Sound, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
    for _ in range(3):
        try:
            ctx.check()
        except Overdue:
            begun = time.process_time()
            while time.process_time() < begun + 0.8:  # at work, whatever else the machine does
                pass
    return Sound.fit(self, features, labels, ways, ctx)


def counting() -> dict[str, Any]:
    tasks: list[int] = []

    def score(self: Sound, state: State, features: Tensor) -> Tensor:
        return Sound.score(self, state, features) * len(tasks)

    return {"fit": fit(lambda features, labels, ways: tasks.append(ways)), "score": score}


def one_class_too_many(self: Sound, state: State, features: Tensor) -> Tensor:
    logits = Sound.score(self, state, features)
    return torch.cat([logits, logits[:, :1]], 1) if len(state["means"]) == 3 else logits


def no_number(self: Sound, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
    means = Sound.fit(self, features, labels, ways, ctx)["means"]
    return {"means": means * float("nan") if len(labels) == 15 else means}


def over_the_queries(self: Sound, state: State, features: Tensor) -> Tensor:
    logits = Sound.score(self, state, features)
    return logits - logits.mean(0)


def by_place(self: Sound, state: State, features: Tensor) -> Tensor:
    return Sound.score(self, state, features) - 0.01 * torch.arange(len(features))[:, None]


def with_noise(self: SoundLearner, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
    return SoundLearner.meta_loss(self, backbone, meta, episodes, ctx) * (1 + torch.rand((), generator=ctx.generator))


def spoils_the_network(self: Sound, backbone: Backbone, support: Support, ctx: Context) -> State:
    with torch.no_grad():
        next(backbone.module.parameters()).add_(1e-3)
    return self.fit(support.features, support.labels, support.ways, ctx)


def spoils_the_state(self: Sound, backbone: Backbone, state: State, images: Tensor) -> Tensor:
    return self.score({"means": state["means"].mul_(1.0001)}, backbone.embed(images))


BROKEN = [
    ("options", Table),
    ("bid", variant(Sound, bid=bidding(score=1.5))),
    ("bid", variant(Sound, bid=bidding(seconds=0.0))),
    ("bid", variant(Sound, bid=bidding(reason=" "))),
    ("bid", variant(Sound, bid=lambda self, task: Bid(0.5, f"at {time.perf_counter_ns()}", 0.001))),
    ("bid", variant(Sound, bid=lambda self, task: (0.5, "so", 0.001) if task.ways > 60 else Bid(0.5, "so", 0.001))),
    ("deadline", variant(Sound, bid=bidding(seconds=100.0))),
    ("world", variant(Sound, fit=fit(lambda *_: torch.rand(1)))),
    ("world", variant(Sound, fit=fit(lambda *_: numpy.random.rand()))),
    ("world", variant(Sound, fit=fit(lambda *_: random.random()))),
    ("inputs", variant(Sound, fit=fit(lambda features, labels, ways: features.add_(0.5)))),
    ("repeated", variant(Sound, **counting())),
    ("one-shot", variant(Sound, fit=fit(lambda x, labels, ways: refuse(int(labels.bincount().max()) == 1)))),
    ("unbalanced-shots", variant(Sound, fit=in_equal_parts)),
    ("many-ways", variant(Sound, fit=fit(lambda x, labels, ways: refuse(ways > 32)))),
    ("learns", variant(Sound, score=lambda self, state, x: Sound.score(self, state, x).flip(1))),
    (
        "refusal",
        variant(
            Sound,
            bid=lambda self, task: Bid(0.5 * (task.ways <= 32), "few classes only", 0.001),
            fit=fit(lambda x, labels, ways: refuse(ways > 32)),
        ),
    ),
    ("same-seed", variant(Sound, fit=with_the_time)),
    ("inductive", variant(Sound, score=over_the_queries)),
    ("inductive", variant(Sound, score=by_place)),
    ("meta-parameters", variant(SoundLearner, meta_parameters=lambda self, b: {"log_scale": torch.zeros(8).double()})),
    (
        "meta-parameters",
        variant(
            SoundLearner,
            meta_parameters=lambda self, b: {
                "log_scale": torch.zeros(8),
                "backbone.0.weight": next(b.module.parameters()).detach(),
            },
        ),
    ),
    (
        "meta-loss",
        variant(
            SoundLearner,
            meta_loss=lambda self, b, meta, e, ctx: SoundLearner.meta_loss(self, b, meta, e, ctx).detach(),
        ),
    ),
    (
        "chunks",
        variant(
            SoundLearner,
            meta_loss=lambda self, b, meta, e, ctx: SoundLearner.meta_loss(self, b, meta, e, ctx) * (1 + (len(e) == 2)),
        ),
    ),
    (
        "loop-and-vmap",
        variant(
            SoundLearner,
            meta_loss=lambda self, b, meta, e, ctx: SoundLearner.meta_loss(self, b, meta, e, ctx) * (1 + (len(e) == 1)),
        ),
    ),
    (
        "phase",
        variant(
            SoundLearner,
            phase=lambda self, progress: True,
            meta_loss=lambda self, b, meta, e, ctx: SoundLearner.meta_loss(self, b, meta, e, ctx) * (1 + e.progress),
        ),
    ),
    (
        "side-by-side",
        variant(SoundLearner, phase=lambda self, progress: True, meta_loss=by_way_of_a_drawer),
    ),
    (
        "finds-meta-learnt",
        variant(
            SoundLearner,
            adapt=lambda self, b, support, ctx: SoundLearner.adapt(self, replace(b, meta={}), support, ctx),
        ),
    ),
]


@pytest.mark.parametrize(("check", "kind"), BROKEN, ids=[f"{n}-{check}" for n, (check, _) in enumerate(BROKEN)])
def test_a_broken_promise_is_found_and_no_other_is_blamed(check: str, kind: type[Algorithm]) -> None:
    found = failing(kind)
    assert set(found) == {check}, found


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        ("logits", variant(Sound, score=one_class_too_many)),
        ("logits", variant(Sound, fit=no_number)),
        ("inputs", variant(Sound, adapt=spoils_the_network)),
        ("inputs", variant(Sound, predict=spoils_the_state)),
        ("phase", variant(SoundLearner, phase=lambda self, progress: True, meta_loss=with_noise)),
        ("world", variant(Sound, fit=fit(lambda *_: torch.set_default_dtype(torch.float64)))),
    ],
)
def test_what_spoils_more_than_one_promise_is_found_too(check: str, kind: type[Algorithm]) -> None:
    assert check in failing(kind)


def test_an_algorithm_that_goes_on_though_time_is_up_is_told_so() -> None:
    found = failing(variant(Sound, fit=swallowing))
    assert set(found) == {"deadline"}
    assert "though time was up" in found["deadline"]


def test_threads_and_modes_are_put_back_for_the_next_check() -> None:
    before = World.now()

    def meddle(*_: object) -> None:
        torch.set_grad_enabled(False)
        torch.set_num_threads(before.threads + 1)

    world = next(check for check in checks_for(variant(Sound, fit=fit(meddle))()) if check.name == "world")
    assert world.verdict().seen == "adapt changed gradients, threads"
    assert before.changed_to(World.now()) == []


@pytest.mark.slow
def test_what_is_kept_outside_the_state_is_found_in_a_new_process() -> None:
    found = failing(Forgetful, new_process=True)
    assert set(found) == {"another-process"}
    assert "KeyError" in found["another-process"]


@pytest.mark.parametrize("kind", [Sound, SoundLearner])
def test_a_sound_plugin_keeps_every_promise(kind: type[Algorithm]) -> None:
    for check in checks_for(kind, new_process=False):
        check()


def test_a_transductive_algorithm_may_look_at_all_queries_but_not_at_their_order() -> None:
    assert failing(variant(Sound, score=over_the_queries, transductive=True)) == {}
    assert set(failing(variant(Sound, score=by_place, transductive=True))) == {"inductive"}


def test_a_failed_check_raises_what_was_promised_seen_and_to_be_done() -> None:
    bid = next(check for check in checks_for(variant(Sound, bid=bidding(score=1.5))) if check.name == "bid")
    said = r"sound-bid: A bid is a score in \[0, 1\].*Seen: .* 1\.5\n  -> let the score"
    with pytest.raises(PluginError, match=said):
        bid()


def test_an_error_is_blamed_on_its_line() -> None:
    found = failing(variant(Sound, fit=fit(lambda x, labels, ways: refuse(ways > 32))))
    assert "ValueError: not like this (line " in found["many-ways"]
    assert "in refuse)" in found["many-ways"]


def test_a_class_that_cannot_be_made_is_refused_at_once() -> None:
    with pytest.raises(PluginError, match="frozen dataclass"):
        checks_for(type("Bare", (Sound,), {}))


@pytest.mark.slow
def test_an_author_tests_a_plugin_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "from learnd.learning.conformance import checks_for\n"
        "from learnd_plugins.ridge import Ridge\n\n"
        '@pytest.mark.parametrize("check", checks_for(Ridge, new_process=False), ids=str)\n'
        "def test_it(check):\n    check()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{len(checks_for(Ridge, new_process=False))} passed" in done.stdout
