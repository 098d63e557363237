"""The confusion matrix counts every measured image once."""

from __future__ import annotations

from learnd.ui.views.confusion_matrix import confusion_matrix


def test_the_diagonal_is_what_is_left_of_a_class() -> None:
    confusions = [
        {"class_name": "ant", "told_as": "bee", "images": 2},
        {"class_name": "ant", "told_as": "cat", "images": 1},
        {"class_name": "cat", "told_as": "ant", "images": 4},
    ]
    report = {"classes": ["ant", "bee", "cat"], "asked": [5, 0, 4], "confusions": confusions}
    assert confusion_matrix(report) == [[2, 2, 1], [0, 0, 0], [4, 0, 0]]
