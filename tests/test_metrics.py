"""The figures of a continual learner, against a matrix worked out by hand."""

from __future__ import annotations

import pytest

from learnd.metrics import Matrix, Metrics, metrics, negative_flips

# Tasks a, b, c learnt one after another; b is not measured in row 2, and c was known a little beforehand.
R = Matrix(
    (1, 2, 4),
    ("a", "b", "c"),
    (
        (0.9, 0.2, None),
        (0.95, 0.8, 0.3),
        (0.7, 0.6, 1.0),
    ),
)
LEARNT = Matrix((1, 2, 4), ("a", "b", "c"), ((0.9, None, None), (0.95, 0.8, None), (0.7, 0.9, 1.0)))


def test_every_figure_of_a_matrix_worked_out_by_hand() -> None:
    found = metrics(LEARNT)
    assert found.accuracy == pytest.approx((0.7 + 0.9 + 1.0) / 3)
    assert found.backward_transfer == pytest.approx(((0.7 - 0.9) + (0.9 - 0.8)) / 2)
    assert found.forgetting == pytest.approx(((0.95 - 0.7) + (0.8 - 0.9)) / 2)
    assert found.learning_accuracy == pytest.approx((0.9 + 0.8 + 1.0) / 3)
    assert found.forward_transfer is None  # nobody said what chance is


def test_forward_transfer_is_what_a_task_gets_before_it_is_learnt_over_chance() -> None:
    assert metrics(R, chance=(0.5, 0.1, 0.25)).forward_transfer == pytest.approx(((0.2 - 0.1) + (0.3 - 0.25)) / 2)
    assert metrics(LEARNT, chance=(0.5, 0.1, 0.25)).forward_transfer is None  # no task was asked about beforehand


def test_what_was_not_measured_takes_no_part() -> None:
    holes = Matrix((1, 2, 3), ("a", "gone"), ((0.5, 0.9), (None, 0.9), (0.5, None)))
    assert metrics(holes) == Metrics(0.5, 0.0, 0.0, None, pytest.approx(0.7))


def test_one_row_has_nothing_to_forget_and_none_has_no_figure() -> None:
    assert metrics(Matrix((1,), ("a",), ((0.5,),))) == Metrics(0.5, None, None, None, 0.5)
    assert metrics(Matrix((), (), ())) == Metrics(None, None, None, None, None)


def test_a_negative_flip_was_right_and_is_wrong() -> None:
    assert negative_flips("1100", "1010") == 1
    with pytest.raises(ValueError, match="shorter"):
        negative_flips("11", "1")
