"""The marks of the lifelong benchmarks are those of the papers."""

from __future__ import annotations

import pytest
import torch

from benchmarks.lifelong.characters import DRAWERS, SHOTS, draw_stream
from benchmarks.lifelong.marks import accuracy, auroc, calibration_error


def test_accuracy_is_the_share_of_largest_values_in_the_right_column() -> None:
    assert accuracy(torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]]), torch.tensor([1, 0, 1])) == pytest.approx(2 / 3)


def test_probabilities_that_come_true_have_no_calibration_error() -> None:
    sure = torch.tensor([[0.75, 0.25]]).log().expand(4, -1)
    assert calibration_error(sure, torch.tensor([0, 0, 0, 1])) == pytest.approx(0, abs=1e-6)
    assert calibration_error(sure, torch.tensor([1, 1, 1, 1])) == pytest.approx(0.75)


def test_errors_of_two_bins_do_not_cancel() -> None:
    answer = torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log()
    assert calibration_error(answer, torch.tensor([1, 0])) == pytest.approx((0.9 + 0.4) / 2)


def test_auroc_is_the_chance_that_the_higher_is_higher() -> None:
    assert auroc(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])) == 1.0
    assert auroc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 0.0
    assert auroc(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0])) == pytest.approx((0.5 + 1 + 0 + 0) / 4)


def test_a_stream_learns_and_asks_different_drawings_of_different_characters() -> None:
    stream = draw_stream(list(range(100, 130)), 20, seed=1)
    assert len(set(stream.numbers)) == 20
    assert set(stream.numbers) <= set(range(100, 130))
    assert stream.learn.shape == (20, SHOTS)
    both = torch.cat([stream.learn, stream.ask], 1).sort(1).values
    assert torch.equal(both, torch.arange(DRAWERS).expand(20, -1))
    assert draw_stream(list(range(100, 130)), 20, seed=1).numbers == stream.numbers
