"""The verdict on a candidate network follows from the numbers and the limits alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from learnd.control.knowledge.consolidation_gate import Limits, decide, lower_bound
from learnd.messages.outcomes import Consolidation, Paired

LIMITS = Limits(epsilon=0.02, flips=0.02, size=1.1, latency=1.1)


def hits(right: int, of: int = 20) -> tuple[bool, ...]:
    return tuple(number < right for number in range(of))


def task(name: str, before: int, after: int, of: int = 20) -> Paired:
    """Told right before and after, the same in both views; what is won or lost is on the same images."""
    return Paired(name, hits(before, of), hits(after, of), hits(before, of), hits(after, of))


def made(*judged: Paired) -> Consolidation:
    return Consolidation(1, "h" * 64, "s" * 64, (), (), judged, 100, 100, 1000, 1000, 1.0)


def test_what_rises_and_harms_nobody_is_accepted() -> None:
    verdict = decide(made(task("a", 15, 18), task("b", 20, 20)), LIMITS)
    assert (verdict.accepted, verdict.reasons, verdict.worst) == (True, (), None)
    assert (verdict.before, verdict.after) == pytest.approx((0.875, 0.95))


def test_a_task_that_is_ruined_is_named_although_the_mean_rises() -> None:
    verdict = decide(made(*(task(name, 5, 20) for name in "abc"), task("ruined", 20, 5)), LIMITS)
    assert verdict.after > verdict.before
    assert not verdict.accepted
    assert verdict.worst == "ruined"
    assert [reason.split()[0] for reason in verdict.reasons] == ["ruined", "ruined", "the"]
    assert "lower bound -" in verdict.reasons[0]


def test_one_view_that_falls_is_enough() -> None:
    one_sided = Paired("a", hits(10), hits(20), hits(20), hits(15))
    (first, *_) = decide(made(one_sided), LIMITS).reasons
    assert first.startswith("a may fall by more than 0.02 (unified)")


def test_what_stays_the_same_is_no_reason_for_a_change() -> None:
    assert decide(made(task("a", 15, 15)), LIMITS).reasons == ("the mean does not rise: 0.7500 before, 0.7500 after",)


def test_without_a_judge_nothing_is_accepted() -> None:
    verdict = decide(made(Paired("a", (), (), (), ())), LIMITS)
    assert verdict.reasons == ("no image is kept that a candidate could be judged on",)


def test_images_that_turn_wrong_count_even_where_others_turn_right() -> None:
    swapped = Paired("a", (True, *[False] * 99), (False, *[True] * 99), hits(1, 100), hits(100, 100))
    verdict = decide(made(swapped), replace(LIMITS, flips=0.005))
    assert verdict.flips == pytest.approx(0.01)
    assert verdict.reasons == ("the negative flip rate is 0.0100, over its limit of 0.005",)


@pytest.mark.parametrize(("larger", "what"), [({"bytes_after": 1200}, "size"), ({"macs_after": 120}, "latency")])
def test_what_takes_too_much_is_refused(larger: dict[str, int], what: str) -> None:
    verdict = decide(replace(made(task("a", 10, 20)), **larger), LIMITS)
    assert verdict.reasons == (f"the {what} is 1.2000, over its limit of 1.1",)


def test_the_bound_is_the_same_each_time_and_below_what_was_measured() -> None:
    gains = [1] * 5 + [-1] * 5 + [0] * 10
    assert lower_bound(gains) == lower_bound(gains)
    assert -0.5 < lower_bound(gains) < 0.0
    assert lower_bound([0] * 20) == 0.0
    assert lower_bound([-1] * 20) == -1.0
