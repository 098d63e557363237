"""Confusions and mistakes are those of what was told, the worst first."""

from __future__ import annotations

import torch

from learnd.learning.jobs.classification_errors import MISTAKES, confusions, gathered, mark, mistakes
from learnd.messages.report import Confusion, Mistake

CLASSES = ("ant", "bee", "cat")
LOGITS = torch.tensor([[3.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0], [4.0, 0, 0], [0, 5.0, 0]])
MARKS = mark(torch.tensor([4, 3, 2, 1, 0]), torch.tensor([0, 0, 0, 1, 2]), LOGITS)


def test_what_was_told_is_counted() -> None:
    assert (MARKS.hits, MARKS.tries) == (1, 5)
    assert MARKS.classified.tolist() == [0, 1, 2, 0, 1]
    assert torch.allclose(MARKS.sure, LOGITS.softmax(1).amax(1))


def test_the_most_frequent_confusion_comes_first() -> None:
    both = gathered([MARKS, MARKS, mark(torch.tensor([9]), torch.tensor([2]), torch.tensor([[0.0, 1.0, 0.0]]))])
    assert both.tries == 11
    assert confusions(both, CLASSES) == (
        Confusion("cat", "bee", 3),
        Confusion("ant", "bee", 2),
        Confusion("ant", "cat", 2),
        Confusion("bee", "ant", 2),
    )


def test_the_surest_mistakes_come_first_and_few_are_told_of() -> None:
    found = mistakes(MARKS, CLASSES, [f"{row}.png" for row in range(5)])
    assert [(one.path, one.class_name, one.told_as) for one in found] == [
        ("0.png", "cat", "bee"),
        ("1.png", "bee", "ant"),
        ("3.png", "ant", "bee"),
        ("2.png", "ant", "cat"),
    ]
    assert found[0] == Mistake("0.png", "cat", "bee", round(float(MARKS.sure[4]), 4))
    many = gathered([MARKS] * 10)
    assert len(mistakes(many, CLASSES, [f"{row}.png" for row in range(5)])) == MISTAKES
