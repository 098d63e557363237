"""powermean keeps what the contract asks of every algorithm, and does what its name says."""

from __future__ import annotations

import pytest
import torch
from learnd_powermean import PowerMean

from learnd.plugin import Check, checks_for


@pytest.mark.parametrize("check", checks_for(PowerMean), ids=str)
def test_it_keeps_the_contract(check: Check) -> None:
    check()


def test_a_single_loud_feature_does_not_drown_the_others() -> None:
    quiet = torch.eye(4)[:2] * 0.2
    loud = torch.tensor([[0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 3.0, 0.0]])
    even, plain = (PowerMean(power=power)._even(quiet + loud) for power in (0.5, 1.0))
    assert even[0] @ even[1] < plain[0] @ plain[1]
