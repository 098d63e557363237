"""What every built-in algorithm keeps: all that the conformance kit asks of a plugin."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

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


def test_the_constants_of_every_bid_name_their_row_of_the_results() -> None:
    results = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
    rows = results.partition("## What algorithms bid\n")[2].partition("\n## ")[0]
    for name, algorithm in ALGORITHMS.items():
        cited = re.search(
            r'docs/results\.md, "What algorithms bid", (row (\w+)|the row of each)', inspect.getsource(algorithm.bid)
        )
        assert cited is not None, name
        assert cited[2] in (None, name)
        assert f"| {name} |" in rows, name
