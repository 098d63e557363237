"""How often what could not be checked is tried again, and when."""

from __future__ import annotations

from learnd.control.intake.inspection_retries import FIRST_PAUSE, TRIES, Retries


def test_each_pause_is_twice_the_one_before_and_the_last_try_has_none() -> None:
    retries = Retries()
    pauses = [retries.failed("cats", "content", now=0.0) for _ in range(TRIES)]
    assert pauses == [*(FIRST_PAUSE * 2**n for n in range(TRIES - 1)), None]
    assert retries.failed("cats", "content", now=0.0) == FIRST_PAUSE  # asked for by a person: from the beginning


def test_it_is_held_until_its_pause_is_over() -> None:
    retries = Retries()
    retries.failed("cats", "content", now=100.0)
    assert retries.held_until("cats", "content", now=101.0) == 100.0 + FIRST_PAUSE
    assert retries.held_until("cats", "content", now=100.0 + FIRST_PAUSE) is None
    assert retries.held_until("dogs", "content", now=101.0) is None


def test_another_content_begins_anew() -> None:
    retries = Retries()
    for _ in range(TRIES - 1):
        retries.failed("cats", "content", now=0.0)
    assert retries.held_until("cats", "other", now=0.0) is None
    assert retries.failed("cats", "other", now=0.0) == FIRST_PAUSE


def test_what_is_forgotten_is_held_no_more() -> None:
    retries = Retries()
    retries.failed("cats", "content", now=0.0)
    retries.forget("cats")
    assert retries.held_until("cats", "content", now=0.0) is None
