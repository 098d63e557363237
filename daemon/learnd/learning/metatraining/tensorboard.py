"""The curves of a training for TensorBoard, where it is installed (the extra "curves")."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from learnd.errors import LearndError
from learnd.learning.metatraining.outer_loop import Figures
from learnd.learning.metatraining.snapshots import ValidationScore


@contextmanager
def curves(folder: str | None) -> Iterator[Callable[[Figures | ValidationScore], None]]:
    """Something that draws every figure and every validation into a folder; without one, nothing is drawn.

    Raises LearndError if the package tensorboard is missing.
    """
    if folder is None:
        yield lambda event: None
        return
    try:
        module = importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        what = "the package tensorboard is not installed"
        raise LearndError(what, where="--tensorboard", remedy="pip install tensorboard") from error
    with module.SummaryWriter(folder) as writer:

        def draw(event: Figures | ValidationScore) -> None:
            if isinstance(event, ValidationScore):
                writer.add_scalar("validation/accuracy", event.accuracy, event.step)
            else:
                writer.add_scalar("training/loss", event.loss, event.step)
                writer.add_scalar("training/rate", event.rate, event.step)

        yield draw
