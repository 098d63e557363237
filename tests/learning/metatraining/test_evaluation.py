"""Episodes on unseen classes: who draws them, who marks them, and what the interval says."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from learnd.errors import PluginError
from learnd.learning.contract.algorithm import Algorithm, Bid, Context, State, Support
from learnd.learning.metatraining.evaluation import (
    EpisodeScore,
    EpisodeSetting,
    combined,
    draw,
    evaluate,
    nearest_mean,
    pool,
    score_of,
)
from learnd.learning.networks.backbone import Backbone, fresh_backbone
from tests.learning.worker_contexts import NearestMean
from tests.tiny import striped, tiny_backbone

BACKBONE = tiny_backbone()
WAYS, EACH = 6, 8
IMAGES, LABELS = striped(WAYS, EACH, noise=30)
POOL = pool(BACKBONE, IMAGES, tuple(LABELS.eq(k).nonzero()[:, 0] for k in range(WAYS)))
CONV4 = fresh_backbone("conv4", seed=1)
CONV4_POOL = pool(
    CONV4,
    torch.randint(256, (WAYS * EACH, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8),
    tuple(torch.arange(k * EACH, (k + 1) * EACH) for k in range(WAYS)),
)
SMALL = EpisodeSetting(ways=3, shots=2, queries=4, episodes=20, seed=3)


def test_an_episode_has_other_images_to_learn_from_than_to_mark() -> None:
    support, query = draw(POOL.rows, SMALL, torch.Generator().manual_seed(0))
    assert support.shape == (3, 2)
    assert query.shape == (3, 4)
    assert len({*support.flatten().tolist(), *query.flatten().tolist()}) == 18
    for own, asked in zip(LABELS[support], LABELS[query], strict=True):
        assert set(own.tolist()) == set(asked.tolist())
        assert len(set(own.tolist())) == 1


def test_too_few_classes_or_images_are_named() -> None:
    with pytest.raises(ValueError, match="7 classes of 6 images each are needed"):
        draw(POOL.rows, replace(SMALL, ways=7), torch.Generator())
    with pytest.raises(ValueError, match="3 classes of 9 images"):
        draw(POOL.rows, replace(SMALL, queries=7), torch.Generator())


def test_the_same_seed_gives_the_same_score_and_another_seed_another() -> None:
    first, again = (evaluate(NearestMean(), BACKBONE, POOL, SMALL) for _ in range(2))
    assert first == again
    assert first.episodes == 20
    assert evaluate(NearestMean(), BACKBONE, POOL, replace(SMALL, seed=4)) != first


def test_what_learns_is_better_than_chance_by_more_than_its_interval() -> None:
    score = evaluate(NearestMean(), BACKBONE, POOL, SMALL)
    assert score.accuracy - score.interval > 1 / 3


def test_the_interval_is_that_of_a_mean() -> None:
    score = score_of([0.5, 0.7, 0.9, 0.7])
    assert score.accuracy == pytest.approx(0.7)
    deviation = math.sqrt((0.04 + 0.04) / 3)
    assert score.interval == pytest.approx(1.96 * deviation / 2)
    assert str(score) == "70.0 ± 16.0"


def test_several_seeds_are_one_score_with_a_narrower_interval() -> None:
    score = combined([EpisodeScore(0.8, 0.03, 100), EpisodeScore(0.9, 0.04, 100)])
    assert (score.accuracy, score.episodes) == (pytest.approx(0.85), 200)
    assert score.interval == pytest.approx(0.025)


@pytest.mark.parametrize("norm", ["support", "batch"])
def test_batch_norm_by_the_episodes_own_images(norm: str) -> None:
    score = evaluate(NearestMean(), CONV4, CONV4_POOL, replace(SMALL, episodes=3, norm=norm))
    plain = evaluate(NearestMean(), CONV4, CONV4_POOL, replace(SMALL, episodes=3))
    assert score != plain


def test_what_is_no_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="norm must be one of training, support, batch"):
        replace(SMALL, norm="layer")


@dataclass(frozen=True)
class OneClass(Algorithm):
    """Adapts the network, so to speak; always says the first class, or breaks its word."""

    name: ClassVar[str] = "one_class"
    summary: ClassVar[str] = "always the first"

    ways: int = 3

    def bid(self, task: object) -> Bid:
        return Bid(0.5, "", 0.1)

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        return {"ways": torch.tensor(self.ways)}

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        return torch.eye(int(state["ways"]))[torch.zeros(len(images), dtype=torch.int64)]


def test_the_host_marks_and_not_the_plugin() -> None:
    score = evaluate(OneClass(), BACKBONE, POOL, SMALL)
    assert score.accuracy == pytest.approx(1 / 3)
    assert score.interval == pytest.approx(0, abs=1e-9)


def test_a_plugin_that_breaks_its_contract_is_named() -> None:
    with pytest.raises(PluginError, match=r"one_class: predict returned \(12, 2\)"):
        evaluate(OneClass(ways=2), BACKBONE, POOL, SMALL)


def test_progress_is_told_after_every_episode() -> None:
    told: list[int] = []
    evaluate(NearestMean(), BACKBONE, POOL, SMALL, lambda done, accuracy: told.append(done))
    assert told == list(range(1, 21))


def test_the_nearest_mean_goes_by_angle_and_not_by_length() -> None:
    features = torch.tensor([[1.0, 0.0], [9.0, 1.0], [0.0, 1.0], [1.0, 9.0], [20.0, 9.0], [0.1, 0.2], [0.0, 0.3]])
    support, query = torch.tensor([[0, 1], [2, 3]]), torch.tensor([4, 5, 6])
    assert nearest_mean(features, support, query, torch.tensor([0, 1, 1])) == 1.0
    assert nearest_mean(features, support, query, torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)
