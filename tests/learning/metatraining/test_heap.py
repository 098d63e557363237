"""Memory that was let go stays with the process while it is wanted, and no longer."""

from __future__ import annotations

import resource

import pytest
import torch

from learnd.learning.metatraining import heap


def faults() -> int:
    """Pages that the system has had to give since the process began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def taken_again(times: int = 20) -> int:
    """The faults of taking and letting go 16 MB so often."""
    before = faults()
    for _ in range(times):
        pieces = [torch.ones(1024, 1024) for _ in range(4)]
        del pieces
    return faults() - before


@pytest.mark.skipif(not heap.has_mallopt(), reason="there is no glibc here")
def test_what_was_let_go_is_taken_again_without_asking_the_system() -> None:
    with heap.kept():
        taken_again()
        assert taken_again() < 4 * 4096  # once would be allowed; each time would be 20 times 4,096 pages


def test_a_loop_that_fails_has_let_go_all_the_same() -> None:
    with pytest.raises(ValueError, match="this"), heap.kept():
        raise ValueError("this")
