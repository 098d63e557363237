"""The gradient of a batch: the mean over its tasks, whatever the chunks; and what may be recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from learnd.learning.contract.meta_learner import MetaLearner
from learnd.learning.metatraining.core_threads import threads
from learnd.learning.metatraining.cuda_graphs import Recordings
from learnd.learning.metatraining.meta_gradient import MetaGradient
from learnd_plugins.lstm_metalearner import LstmMetalearner
from learnd_plugins.maml import Maml
from learnd_plugins.protonet import ProtoNet
from tests.learning.episodes import episodes, leaves, meta_gradient
from tests.learning.metalearners import Nearest
from tests.tiny import context, tiny_backbone

NETWORK = tiny_backbone()


@dataclass(frozen=True)
class Kinds(Recordings):
    """It records nothing and remembers what it was asked for."""

    asked: dict[Hashable, int] = field(default_factory=dict)

    def run(
        self, kind: Hashable, inputs: Sequence[Tensor], work: Callable[[Sequence[Tensor]], list[Tensor]]
    ) -> list[Tensor]:
        self.asked[kind] = self.asked.get(kind, 0) + 1
        return work(inputs)


def kinds_of(learner: MetaLearner, *progress: float) -> list[Hashable]:
    recordings, params = Kinds(), leaves(learner, NETWORK)
    for at in progress:
        MetaGradient(learner, NETWORK, recordings=recordings).of(params, episodes(progress=at), context())
    return list(recordings.asked)


@pytest.mark.parametrize("batching", ["loop", "vmap:2", "vmap:9"])
def test_it_is_the_mean_over_the_tasks_whatever_the_chunks(batching: str) -> None:
    learner, batch = Maml(steps=2, rate=0.1), episodes(tasks=3)
    expected = meta_gradient(learner, NETWORK, batch)
    loss, found = MetaGradient(learner, NETWORK, batching).of(leaves(learner, NETWORK), batch, context())
    torch.testing.assert_close(loss, learner.meta_loss(NETWORK, leaves(learner, NETWORK), batch, context()).detach())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("learner", [Maml(steps=2), Maml(anneal=1.0), LstmMetalearner()], ids=str)
def test_it_is_the_same_to_the_bit_whichever_core_was_quicker(learner: MetaLearner) -> None:
    params, batch = leaves(learner, NETWORK), episodes(tasks=5)
    with threads(1):
        loss, expected = MetaGradient(learner, NETWORK, "loop").of(params, batch, context())
    gradient = MetaGradient(learner, NETWORK, "loop")
    for _ in range(3):
        with threads(3):
            again, found = gradient.of(params, batch, context())
        assert torch.equal(again, loss)
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_it_may_be_played_again_as_long_as_the_operations_are_the_same() -> None:
    assert len(kinds_of(Maml(), 0.0, 0.9)) == 1
    assert len(kinds_of(Maml(anneal=0.5), 0.0, 0.4, 0.6, 0.9)) == 2  # first-order, then second
    assert len(kinds_of(ProtoNet(), 0.0, 0.9)) == 1
    assert kinds_of(Nearest(), 0.0, 0.9) == [None]  # an algorithm that does not say so is never recorded


def test_other_weights_or_sizes_are_another_recording() -> None:
    learner, recordings = Maml(), Kinds()
    gradient = MetaGradient(learner, NETWORK, recordings=recordings)
    first, second = leaves(learner, NETWORK), leaves(learner, NETWORK)
    for params, batch in ((first, episodes()), (second, episodes()), (first, episodes(ways=4)), (first, episodes())):
        gradient.of(params, batch, context())
    assert sorted(recordings.asked.values()) == [1, 1, 2]


def test_nothing_is_recorded_where_it_is_not_wanted() -> None:
    learner, batch = Maml(steps=1), replace(episodes(), progress=0.5)
    one = MetaGradient(learner, NETWORK, recordings=None).of(leaves(learner, NETWORK), batch, context())
    two = MetaGradient(learner, NETWORK).of(leaves(learner, NETWORK), batch, context())
    assert torch.equal(one[0], two[0])
