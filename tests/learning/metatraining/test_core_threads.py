"""Work side by side on the cores of a CPU: in order, each on a network of its own, and torch's threads as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from learnd.learning.metatraining.core_threads import CoreThreads, threads
from learnd.learning.networks.backbone import Backbone
from tests.tiny import tiny_backbone

NETWORK = tiny_backbone()


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    with threads(4):
        yield


def test_the_results_come_in_the_order_of_the_work_however_it_ends() -> None:
    second_is_done = threading.Event()

    def first(backbone: Backbone) -> str:
        assert second_is_done.wait(10)
        return "first"

    def second(backbone: Backbone) -> str:
        second_is_done.set()
        return "second"

    assert CoreThreads(NETWORK).do([first, second], 2) == ["first", "second"]


def test_no_two_share_a_network_and_the_copies_are_used_again() -> None:
    core_threads, both = CoreThreads(NETWORK), threading.Barrier(2)

    def module(backbone: Backbone) -> int:
        both.wait(10)
        return id(backbone.module)

    used = core_threads.do([module, module], 2)
    assert len({*used, id(NETWORK.module)}) == 3
    assert set(core_threads.do([module, module], 2)) == set(used)


def test_alone_it_is_the_network_itself() -> None:
    assert CoreThreads(NETWORK).do([lambda backbone: backbone], 1) == [NETWORK]


def test_each_has_its_share_of_the_threads_and_they_are_given_back() -> None:
    assert CoreThreads(NETWORK).do([lambda _: torch.get_num_threads()] * 2, 2) == [2, 2]
    assert torch.get_num_threads() == 4


def test_what_work_raises_is_raised_and_the_next_goes_on() -> None:
    core_threads = CoreThreads(NETWORK)

    def broken(backbone: Backbone) -> None:
        raise ValueError("broken")

    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            core_threads.do([broken, lambda _: None], 2)
    assert torch.get_num_threads() == 4
    assert core_threads.do([lambda _: 1, lambda _: 2], 2) == [1, 2]
