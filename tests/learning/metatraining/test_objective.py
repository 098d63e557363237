"""Meta-training: whole batches in chunks, the network in step, validation, and a resume that is exact to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from learnd.learning.contract.meta_learner import MetaLearner, for_backbone
from learnd.learning.metatraining.core_threads import threads
from learnd.learning.metatraining.objective import Episodic, meta_train
from learnd.learning.metatraining.outer_loop import Run, Trained
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.settings.meta_training_recipe import Recipe
from tests.learning.domains import tiny_domains
from tests.learning.metalearners import Nearest, OneStep
from tests.tiny import tiny_backbone

LEARNERS = [Nearest(), OneStep()]
RECIPE = Recipe(
    steps=6, meta_batch=3, ways=(3, 4), shots=(1, 2), queries=3, validate_every=2, validation_episodes=5, rate=1e-2
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors as small as these gain nothing from more, which only wait for one another."""
    with threads(1):
        yield


def run(learner: MetaLearner, run: Run = Run(), recipe: Recipe = RECIPE) -> Trained:  # noqa: B008
    return meta_train(learner, tiny_backbone(), *tiny_domains(), recipe, run)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


def stop_after(steps: int, snapshot: Path) -> Run:
    """A run that is asked to stop after so many steps."""
    asked = iter([False] * steps + [True])
    return Run(snapshot, stop=lambda: next(asked))


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.name)
def test_six_steps_are_three_a_resume_and_three_bit_for_bit(learner: MetaLearner, tmp_path: Path) -> None:
    whole = run(learner)
    state = tmp_path / "snapshot.safetensors"
    first = run(learner, stop_after(3, state))
    assert (first.step, first.stopped, first.finished) == (3, True, False)
    torch.manual_seed(99)  # whatever else draws random numbers in between
    second = run(learner, Run(state))
    assert (second.step, second.stopped, second.finished) == (6, False, True)
    assert same(whole.weights.params, second.weights.params)
    assert same(whole.weights.buffers, second.weights.buffers)
    assert whole.curve == second.curve
    assert [score.step for score in second.curve] == [2, 4, 6]
    assert second.seconds > 0


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.name)
def test_a_stop_at_any_step_changes_nothing(learner: MetaLearner, tmp_path: Path) -> None:
    state = tmp_path / "snapshot.safetensors"
    for _ in range(3):
        run(learner, stop_after(2, state))
    assert same(run(learner).weights.params, run(learner, Run(state)).weights.params)


def test_a_metric_method_moves_the_statistics_and_a_gradient_method_does_not() -> None:
    backbone = tiny_backbone()
    before = {name: value.clone() for name, value in backbone.module.state_dict().items()}
    trained = run(Nearest())
    assert not torch.equal(trained.weights.buffers["3.running_mean"], before["3.running_mean"])
    assert not torch.equal(trained.weights.params["backbone.0.weight"], before["0.weight"])
    assert run(OneStep()).weights.buffers == {}
    meta_train(Nearest(), backbone, *tiny_domains(), RECIPE, Run())
    assert same(dict(backbone.module.state_dict()), before)  # it works on a copy


def test_the_network_is_in_step_with_its_parameters() -> None:
    seen: list[bool] = []

    class Watching(Nearest):
        def meta_loss(self, backbone, meta, episodes, ctx):  # type: ignore[no-untyped-def]
            own = dict(backbone.module.named_parameters())
            seen.append(all(torch.equal(own[name], value) for name, value in for_backbone(meta).items()))
            return super().meta_loss(backbone, meta, episodes, ctx)

    run(Watching(), recipe=replace(RECIPE, steps=3))
    assert len(seen) == 9  # three tasks a step, one by one
    assert all(seen)


def test_chunks_change_the_memory_and_not_the_gradient() -> None:
    training, validation = tiny_domains()
    backbone = tiny_backbone()

    def gradients(batching: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        recipe = replace(RECIPE, batching=batching, meta_batch=5)
        objective = Episodic(backbone, training, validation, recipe, OneStep())
        params = {name: value.requires_grad_() for name, value in objective.start().items()}
        return objective.gradients(params, 0.0, torch.Generator().manual_seed(0))

    loss, loop = gradients("loop")
    for batching in ("vmap:2", "vmap:5"):
        other, mapped = gradients(batching)
        torch.testing.assert_close(other, loss)
        assert any(bool(value.any()) for value in loop.values())
        for name, value in loop.items():
            torch.testing.assert_close(mapped[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.name)
def test_it_learns(learner: MetaLearner) -> None:
    recipe = replace(RECIPE, steps=30, validate_every=30, ways=(4,), shots=(1,))
    objective = Episodic(tiny_backbone(), *tiny_domains(), recipe, learner)

    def loss_of(params: dict[str, torch.Tensor]) -> float:
        params = {name: value.clone().requires_grad_() for name, value in params.items()}
        draws = [torch.Generator().manual_seed(seed) for seed in range(5)]
        return sum(float(objective.gradients(params, 0.0, draw)[0]) for draw in draws)

    assert loss_of(run(learner, recipe=recipe).weights.params) < 0.95 * loss_of(objective.start())


def test_the_validation_is_always_on_the_same_tasks_and_leaves_random_numbers_alone() -> None:
    objective = Episodic(tiny_backbone(), *tiny_domains(), RECIPE, Nearest())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    scores = [objective.validate(objective.start(), 7) for _ in range(2)]
    assert scores[0] == scores[1]
    assert isinstance(scores[0], ValidationScore)
    assert (scores[0].step, scores[0].episodes) == (7, 5)
    assert 0 <= scores[0].accuracy <= 1
    assert torch.equal(torch.get_rng_state(), state)


def test_without_validation_the_last_weights_come_out() -> None:
    training, _ = tiny_domains()
    trained = meta_train(OneStep(), tiny_backbone(), training, (), RECIPE, Run())
    assert trained.best is None
    assert trained.finished
