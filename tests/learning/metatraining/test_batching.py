"""How many tasks at once: by size and by what the algorithm is; the gradient is the same either way."""

from __future__ import annotations

import pytest
import torch

from learnd.errors import SettingsError
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.contract.meta_learner import Episodes, MetaLearner
from learnd.learning.metatraining.batching import CPU_PIXELS, chunk_size, cores_for, faster_in_bfloat16, precision
from learnd.learning.metatraining.corpus import ImageDomain
from learnd.learning.metatraining.episodes import Sampling, sample
from learnd_plugins.maml import Maml
from learnd_plugins.protonet import ProtoNet
from tests.learning.domains import stripes
from tests.learning.metalearners import Nearest, OneStep


class Dicing(Maml):
    """Its loss may draw random numbers."""

    def phase(self, progress: float) -> None:
        return None


def batch(ways: int = 5, queries: int = 3, tasks: int = 40) -> Episodes:
    domain = ImageDomain("stripes", stripes(20, 20))
    return sample([domain], Sampling(tasks, (ways,), (1,), queries), torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("batching", "learner", "ways", "size"),
    [
        ("auto", OneStep(), 5, 16),  # small tasks, all at once
        ("auto", OneStep(steps=5), 20, 1),  # large ones would not fit the cache
        ("auto", Nearest(), 5, 1),  # batch norm takes the statistics of one task
        ("loop", OneStep(), 5, 1),
        ("vmap:4", OneStep(), 20, 4),
    ],
)
def test_tasks_at_once_on_a_cpu(batching: str, learner: MetaLearner, ways: int, size: int) -> None:
    assert isinstance(learner, Algorithm)
    assert chunk_size(batching, learner, batch(ways)) == size


def test_each_core_takes_tasks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert cores_for(Maml(), batch(tasks=40)) == 8
    assert cores_for(Maml(), batch(tasks=3)) == 3  # and each of these has two threads
    assert cores_for(Dicing(), batch()) == 1  # random numbers would be drawn in any order
    assert cores_for(ProtoNet(), batch()) == 1  # batch norm's statistics go from task to task
    assert chunk_size("auto", Maml(steps=1), batch(tasks=40), 8) == 5


def test_an_algorithm_may_know_better_how_many_as_far_as_each_core_has_its_share() -> None:
    learner, episodes = OneStep(steps=5), batch(ways=20, tasks=40)
    assert [chunk_size("auto", learner, episodes, cores, at_once=8) for cores in (1, 4, 10)] == [8, 8, 4]
    assert chunk_size("loop", learner, episodes, at_once=8) == 1


def test_cores_and_tasks_at_once_are_as_many_as_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    small, large = batch(tasks=1024), batch(ways=20, tasks=64)
    for learner, episodes in ((Maml(steps=5), small), (Maml(steps=80), large)):
        cores = cores_for(learner, episodes)
        at_once = cores * chunk_size("auto", learner, episodes, cores)
        images = learner.steps * (episodes.support.shape[1] + episodes.query.shape[1])
        pixels = at_once * images * episodes.support.shape[-1] ** 2
        assert CPU_PIXELS / 2 < pixels <= CPU_PIXELS


def test_tasks_at_once_are_refused_where_batch_norm_learns() -> None:
    with pytest.raises(SettingsError, match="statistics of one task at a time"):
        chunk_size("vmap:4", Nearest(), batch())


def test_bfloat16_is_for_metric_methods_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")

    def inside(amp: str, metric: bool) -> torch.dtype:
        with precision(amp, metric, cpu):
            return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert faster_in_bfloat16(cpu)
    assert [inside("auto", True), inside("auto", False), inside("off", True)] == [
        torch.bfloat16,
        torch.float32,
        torch.float32,
    ]
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert inside("auto", True) == torch.float32
