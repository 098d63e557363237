"""What every built-in algorithm keeps: all that the conformance kit asks of a plugin."""

from __future__ import annotations

import pytest

from learnd.learning.conformance import checks_for
from learnd.learning.conformance.check import Check
from learnd.learning.conformance.drawn_inputs import photographs, small_backbone
from learnd.learning.conformance.new_process_check import predict_elsewhere
from learnd.learning.plugin_host.catalogue import load_catalogue

ALGORITHMS = load_catalogue(None, {}).algorithms
CHECKS = [check for algorithm in ALGORITHMS.values() for check in checks_for(algorithm, new_process=False)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_it_keeps_its_promise(check: Check) -> None:
    check()


@pytest.mark.slow
def test_what_each_learnt_predicts_the_same_in_a_new_process() -> None:
    predict_elsewhere(list(ALGORITHMS.values()), small_backbone())


def test_a_bid_is_dearer_with_more_images() -> None:
    for algorithm in ALGORITHMS.values():
        assert algorithm.bid(photographs(5, 5)).seconds < algorithm.bid(photographs(5, 60)).seconds
