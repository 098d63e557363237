"""TensorBoard is drawn for where it is installed, and asked for by name where it is not."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from learnd.errors import LearndError
from learnd.learning.metatraining.outer_loop import Figures
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.learning.metatraining.tensorboard import curves

FIGURES, SCORE = Figures(10, 20, 0.5, 1e-3, 2.0), ValidationScore(10, 0.75, 0.02, 100)


def test_without_a_folder_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with curves(None) as draw:
        draw(FIGURES)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # to import it raises ImportError
    with pytest.raises(LearndError, match="the package tensorboard is not installed") as caught, curves("logs"):
        pass
    assert caught.value.remedy == "pip install tensorboard"


def test_every_figure_is_drawn_at_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == "logs"

        def __enter__(self) -> Writer:
            return self

        def __exit__(self, *error: object) -> None:
            drawn.append(("closed", 0, 0))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            drawn.append((name, value, step))

    module: Any = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with curves("logs") as draw:
        draw(FIGURES)
        draw(SCORE)
    assert drawn == [
        ("training/loss", 0.5, 10), ("training/rate", 1e-3, 10), ("validation/accuracy", 0.75, 10), ("closed", 0, 0),
    ]  # fmt: skip
