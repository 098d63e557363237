"""Routing: bids shortlist, measurement decides, and no plugin can break a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from learnd.errors import PluginError, TaskError
from learnd.learning.contract.algorithm import Algorithm, Bid, Context, HeadAlgorithm, State, Support
from learnd.learning.jobs.algorithm_choice import LEFT_OUT, Contest, Route, fall_back, route
from learnd.learning.jobs.cross_validation import make_folds
from learnd.messages.jobs import RoutingSpec
from learnd.messages.report import CandidateOutcome, CandidateScore
from learnd.messages.task import Task
from tests.tiny import context, routing, tiny_backbone, tiny_support, tiny_task

BACKBONE = tiny_backbone()
EASY = tiny_support(BACKBONE)


@dataclass(frozen=True)
class Mean(HeadAlgorithm):
    """Nearest class mean, or with wrong=True the farthest; notes how many images it was fitted to."""

    name: ClassVar[str] = "mean"
    summary: ClassVar[str] = "for this test"

    score_of_bid: float = 0.5
    seconds: float = 0.001
    wrong: bool = False
    fits: list[int] = field(default_factory=list)

    def bid(self, task: Task) -> Bid:
        return Bid(self.score_of_bid, "a test", self.seconds)

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        self.fits.append(len(features))
        return {"mean": torch.stack([features[labels == k].mean(0) for k in range(ways)])}

    def score(self, state: State, features: Tensor) -> Tensor:
        distances = torch.cdist(features, state["mean"])
        return distances if self.wrong else -distances


@dataclass(frozen=True)
class Nearest(Mean):
    """The nearest image: knows its support by heart."""

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        return {"features": features, "labels": labels}

    def score(self, state: State, features: Tensor) -> Tensor:
        nearest = state["labels"][torch.cdist(features, state["features"]).argmin(1)]  # (N,)
        return torch.nn.functional.one_hot(nearest, int(state["labels"].max()) + 1).float()


@dataclass(frozen=True)
class Breaking(Mean):
    """Does `bad` where it should fit."""

    bad: Callable[[], Any] = lambda: {}

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        return self.bad()  # type: ignore[no-any-return]


def go(
    algorithms: Mapping[str, Algorithm], spec: RoutingSpec | None = None, pin: str | None = None, seed: int = 0
) -> Route:
    task = tiny_task(EASY, pin)
    return route(task, BACKBONE, EASY, Contest(algorithms, spec or routing(), lambda *_: None), context(seed))


def scores(result: Route) -> dict[str, CandidateScore]:
    return {candidate.algorithm: candidate for candidate in result.candidates}


def test_the_measured_best_wins_over_the_highest_bid() -> None:
    result = go({"loud": Mean(0.9, wrong=True), "quiet": Mean(0.1)})
    assert result.ranking == ("quiet", "loud")
    assert [c.outcome for c in result.candidates] == ["measured", "chosen"]
    assert result.measured is not None
    assert scores(result)["quiet"].accuracy == result.measured.accuracy > 0.9
    assert (scores(result)["loud"].accuracy or 0.0) < 0.1


def test_all_candidates_are_reported_with_bid_cost_and_reason() -> None:
    first = go({"a": Mean(0.4), "b": Mean(0.8), "c": Mean(0.6)}, routing(shortlist=2, good_enough=2.0))
    assert [(c.algorithm, c.bid) for c in first.candidates] == [("b", 0.8), ("c", 0.6), ("a", 0.4)]
    assert scores(first)["a"].outcome == "not shortlisted"
    assert scores(first)["a"].reason == "not among the 2 highest bids"
    assert scores(first)["c"].accuracy is not None
    assert scores(first)["c"].bid_reason == "a test"


def test_a_tie_goes_to_the_cheaper() -> None:
    result = go({"dear": Mean(0.9, seconds=0.2), "cheap": Mean(0.2, seconds=0.1)}, routing(good_enough=2.0))
    assert result.algorithm == "cheap"
    assert scores(result)["dear"].outcome == "measured"


def test_what_costs_next_to_nothing_is_measured_however_good_the_others_are() -> None:
    result = go({"cheap": Mean(0.9, seconds=0.02), "cheapest": Mean(0.2)}, routing(good_enough=0.5))
    assert [c.outcome for c in result.candidates] == ["measured", "chosen"]


def test_the_dearer_are_not_measured_once_one_is_good_enough() -> None:
    dear = Mean(0.9, seconds=1.0)
    result = go({"dear": dear, "cheap": Mean(0.2)}, routing(good_enough=0.5))
    assert result.algorithm == "cheap"
    assert scores(result)["dear"].outcome == "good enough without"
    assert not dear.fits


def test_what_does_not_fit_the_budget_is_not_measured() -> None:
    dear = Mean(0.9, seconds=4.0)  # five folds and once more: 24 s
    result = go({"dear": dear, "cheap": Mean(0.2, wrong=True)}, routing(good_enough=2.0))
    assert result.algorithm == "cheap"
    assert scores(result)["dear"].outcome == "over budget"
    assert not dear.fits


def test_the_budget_counts_what_was_already_spent() -> None:
    each = 2.0  # 10 s to measure one, 12 s with its adapting: two do not fit into 20 s
    result = go({"a": Mean(0.9, seconds=each), "b": Mean(0.8, seconds=each)}, routing(good_enough=2.0))
    assert [c.outcome for c in result.candidates] == ["chosen", "over budget"]


def test_a_pin_is_obeyed() -> None:
    result = go({"best": Mean(0.9), "pinned": Mean(0.0, wrong=True)}, pin="pinned")
    assert result.ranking == ("pinned",)
    assert scores(result)["best"].reason == "task.yaml asks for pinned"


def test_a_pinned_algorithm_is_used_even_where_measuring_it_costs_too_much() -> None:
    result = go({"pinned": Mean(0.5, seconds=19.0)}, pin="pinned")
    assert result.algorithm == "pinned"
    assert result.measured is None


def test_a_pin_of_an_unknown_algorithm_says_which_there_are() -> None:
    with pytest.raises(TaskError, match="did you mean 'ridge'"):
        go({"ridge": Mean(), "protonet": Mean()}, pin="rigde")


def test_what_is_left_out_is_not_even_asked_for_a_bid_and_the_report_says_so() -> None:
    class Wild(Mean):
        def bid(self, task: Task) -> Bid:
            raise AssertionError("it was asked")

    result = go({"wild": Wild(), "good": Mean(0.2)}, replace(routing(), without=("wild", "gone")))
    assert result.ranking == ("good",)
    assert (scores(result)["wild"].outcome, scores(result)["wild"].reason) == ("failed", LEFT_OUT)
    with pytest.raises(PluginError, match=f"no algorithm can learn this task .wild: {LEFT_OUT}"):
        go({"wild": Wild()}, replace(routing(), without=("wild",)))


def test_what_task_yaml_asks_for_is_tried_to_the_last() -> None:
    result = go({"wild": Mean(0.0), "good": Mean(0.2)}, replace(routing(), without=("wild",)), pin="wild")
    assert result.ranking == ("wild",)


def test_one_shot_cannot_be_measured_so_the_highest_bid_wins() -> None:
    support = tiny_support(BACKBONE, shots=1)
    algorithms = {"low": Mean(0.3), "high": Mean(0.8, seconds=1.0), "too dear": Mean(0.9, seconds=30.0)}
    result = route(tiny_task(support), BACKBONE, support, Contest(algorithms, routing(), lambda *_: None), context())
    assert result.ranking == ("high", "low", "too dear")
    assert result.measured is None
    assert [c.outcome for c in result.candidates] == ["over budget", "chosen", "not shortlisted"]


def _exit() -> None:
    raise SystemExit(3)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _divide() -> float:
    return 1 / 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (_divide, "ZeroDivisionError: division by zero"),
        (_exit, "SystemExit: 3"),
        (_interrupt, "KeyboardInterrupt"),
        (lambda: None, "adapt returned NoneType"),
        (lambda: {"mean": torch.full((3, 8), float("nan"))}, "state['mean'] is not finite"),
        (lambda: {"mean": torch.zeros(2, 8)}, "predict returned (3, 2) of torch.float32"),
    ],
)
@pytest.mark.usefixtures("deaf_to_ctrl_c")
def test_a_broken_plugin_is_blamed_and_the_others_go_on(bad: Callable[[], Any], reason: str) -> None:
    result = go({"broken": Breaking(0.9, bad=bad), "good": Mean(0.2)})
    assert result.ranking == ("good",)
    assert (scores(result)["broken"].outcome, scores(result)["broken"].reason) == ("failed", reason)


@pytest.mark.usefixtures("deaf_to_ctrl_c")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_whatever_a_bid_raises_is_the_plugins_fault(kind: type[BaseException]) -> None:
    class Rude(Mean):
        def bid(self, task: Task) -> Bid:
            raise kind

    result = go({"rude": Rude(), "good": Mean(0.2)})
    assert (result.algorithm, scores(result)["rude"].outcome) == ("good", "failed")
    assert scores(result)["rude"].reason == kind.__name__


@pytest.mark.usefixtures("hearing_ctrl_c")
def test_where_ctrl_c_is_heard_it_is_nobodys_fault() -> None:
    with pytest.raises(KeyboardInterrupt):
        go({"broken": Breaking(0.9, bad=_interrupt), "good": Mean(0.2)})


def _allocate() -> Any:
    return torch.empty(2**60, dtype=torch.uint8)


def _no_memory() -> Any:
    raise MemoryError


def _full_gpu() -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@pytest.mark.parametrize("greedy", [_allocate, _no_memory, _full_gpu])
def test_memory_that_runs_out_is_the_machines_fault_where_nobody_is_left(greedy: Callable[[], Any]) -> None:
    result = go({"greedy": Breaking(0.9, bad=greedy), "modest": Mean(0.2)})
    assert result.ranking == ("modest",)
    assert scores(result)["greedy"].outcome == "out of memory"
    with pytest.raises(MemoryError, match="no algorithm can learn this task"):
        go({"greedy": Breaking(0.9, bad=greedy), "broken": Breaking(bad=_divide)})


@pytest.mark.parametrize("bid", [Bid(1.5, "", 0.0), Bid(0.5, "", -1.0), Bid(float("nan"), "", 0.0), 0.5])
def test_an_impossible_bid_is_a_failure(bid: Any) -> None:
    class Boasting(Mean):
        def bid(self, task: Task) -> Bid:
            return bid  # type: ignore[no-any-return]

    result = go({"boasting": Boasting(), "good": Mean(0.2)})
    assert result.algorithm == "good"
    assert "its bid is" in scores(result)["boasting"].reason


def test_with_nobody_left_every_reason_is_told() -> None:
    with pytest.raises(PluginError, match=r"broken: ZeroDivisionError.*shy: not among"):
        go({"broken": Breaking(bad=_divide), "shy": Mean(0.0)})


def test_the_clock_is_the_last_resort() -> None:
    ctx = replace(context(), deadline=time.monotonic() - 1)
    result = route(tiny_task(EASY), BACKBONE, EASY, Contest({"slow": Mean()}, routing(), lambda *_: None), ctx)
    assert result.candidates[0].reason.startswith("ran out of time")
    assert result.measured is None


def test_a_failed_choice_falls_back_to_the_next_best() -> None:
    first = go({"a": Mean(), "b": Mean(wrong=True)})
    second = fall_back(first, "out of memory")
    assert second.algorithm == "b"
    assert second.measured is not None  # what was measured of it still holds
    assert second.measured.accuracy == scores(first)["b"].accuracy
    told = [(c.outcome, c.reason) for c in second.candidates]
    assert told == [("failed", "out of memory"), ("chosen", "a failed")]
    with pytest.raises(PluginError, match="b: again"):
        fall_back(second, "again")
    third = fall_back(first, "no room", CandidateOutcome.OUT_OF_MEMORY)
    assert [(c.outcome, c.reason) for c in third.candidates] == [
        ("out of memory", "no room"),
        ("chosen", "a ran out of memory"),
    ]
    with pytest.raises(MemoryError, match="a: no room; b: broken"):
        fall_back(third, "broken")  # with more memory, a might have learnt it


def pictures(labels: Tensor, contents: Tensor | None = None) -> Support:
    """One pixel an image: all different, or as contents says."""
    values = torch.arange(len(labels)) if contents is None else contents
    images = values.to(torch.uint8).view(-1, 1, 1, 1)  # (N, 1, 1, 1)
    return Support(images, torch.zeros(len(labels), 1), labels, int(labels.max()) + 1)


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    labels = torch.arange(4).repeat_interleave(20)
    same = [make_folds(pictures(labels), 5, context(7)).numbers for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], make_folds(pictures(labels), 5, context(8)).numbers)


@pytest.mark.parametrize("shots", [(5, 5, 5), (9, 6, 31), (40, 40, 2)])
def test_folds_spread_each_class_evenly(shots: tuple[int, ...]) -> None:
    labels = torch.repeat_interleave(torch.tensor(shots))
    folds = make_folds(pictures(labels), 5, context())
    assert folds.count == 5
    for k, count in enumerate(shots):
        each = torch.bincount(folds.numbers[labels == k], minlength=5)
        assert each.sum() == count
        assert each.max() - each.min() <= 1
        assert each.max() < count


def test_few_shots_are_held_out_one_at_a_time() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    folds = make_folds(pictures(labels), 5, context())
    assert folds.numbers.tolist() == [0, 1, 2, 3, 4, -1]  # class 2 has nothing to spare


def test_one_shot_has_no_folds() -> None:
    assert make_folds(pictures(torch.arange(4)), 5, context()).count == 0


@pytest.mark.parametrize("shots", [4, 40])
def test_copies_of_an_image_are_held_out_together(shots: int) -> None:
    labels = torch.arange(3).repeat_interleave(2 * shots)
    contents = torch.arange(3 * shots).repeat_interleave(2)  # every image twice
    folds = make_folds(pictures(labels, contents), 5, context())
    assert torch.equal(folds.numbers[0::2], folds.numbers[1::2])
    assert len(folds.numbers.unique()) == folds.count > 1


def test_a_class_of_copies_has_one_image_and_is_never_held_out() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1])
    folds = make_folds(pictures(labels, torch.tensor([7, 7, 7, 1, 2])), 5, context())
    assert folds.numbers.tolist() == [-1, -1, -1, 0, 1]


def test_the_same_image_in_two_classes_stays_in_both() -> None:
    folds = make_folds(pictures(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 2, 1, 3])), 5, context())
    assert folds.numbers.tolist() == [0, 1, 2, 3]


def test_learning_noise_by_heart_is_not_accuracy() -> None:
    generator = torch.Generator().manual_seed(3)
    noise = torch.randint(0, 256, (60, *EASY.images.shape[1:]), dtype=torch.uint8, generator=generator)
    images = noise.repeat_interleave(2, 0)  # (120, C, S, S) every image twice
    labels = torch.arange(4).repeat_interleave(30)
    noisy = Support(images, BACKBONE.embed(images), labels, 4)
    task = tiny_task(noisy)
    measured = route(task, BACKBONE, noisy, Contest({"a": Nearest()}, routing(), lambda *_: None), context()).measured
    assert measured is not None
    assert measured.accuracy < 0.45  # chance is 0.25; with a copy left in the support it would be 1


def test_progress_names_the_algorithm_that_is_called_next() -> None:
    told: list[tuple[Any, ...]] = []
    algorithms = {"a": Mean(), "b": Mean(seconds=0.1)}
    route(tiny_task(EASY), BACKBONE, EASY, Contest(algorithms, routing(), lambda *step: told.append(step)), context())
    bids = [("bid of a", 0, 2, "a"), ("bid of b", 1, 2, "b")]
    assert told == [*bids, ("route a", 0, 2, "a"), ("route b", 1, 2, "b"), ("route", 2, 2)]
