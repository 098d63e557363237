"""Classification errors on the images of a task: which classes are confused, and which images are misclassified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.messages.report import Confusion, Mistake

CONFUSIONS = 200  # pairs of classes that a report lists at most
MISTAKES = 12  # images that a report lists at most


@dataclass(frozen=True)
class Marks:
    """The classes that M images were given; all tensors are on the CPU.

    rows: int64 (M,), the row of each image in its part.  right, classified: int64 (M,), the true and the predicted
    class.  sure: float32 (M,), the probability of the predicted class, in [0, 1].
    """

    rows: Tensor
    right: Tensor
    classified: Tensor
    sure: Tensor

    @property
    def hits(self) -> int:
        return int((self.classified == self.right).sum())

    @property
    def tries(self) -> int:
        return len(self.rows)


def mark(rows: Tensor, right: Tensor, logits: Tensor) -> Marks:
    """rows, right: int64 (M,); logits: (M, K)."""
    sure, classified = logits.detach().float().cpu().softmax(1).max(1)
    return Marks(rows.cpu(), right.cpu(), classified, sure)


def gathered(marked: Sequence[Marks]) -> Marks:
    """Concatenate them; at least one."""
    names = ("rows", "right", "classified", "sure")
    return Marks(*(torch.cat([getattr(one, name) for one in marked]) for name in names))


def confusions(marks: Marks, classes: Sequence[str]) -> tuple[Confusion, ...]:
    """The pairs of (true, predicted) classes that were confused, the most frequent first."""
    wrong = marks.classified != marks.right  # (M,)
    pairs = Counter(zip(marks.right[wrong].tolist(), marks.classified[wrong].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        Confusion(classes[right], classes[classified], count) for (right, classified), count in ordered[:CONFUSIONS]
    )


def mistakes(marks: Marks, classes: Sequence[str], files: Sequence[str]) -> tuple[Mistake, ...]:
    """The misclassified images, the most confident first.  files: the path of each image of the part."""
    wrong = (marks.classified != marks.right).nonzero()[:, 0].tolist()
    surest = sorted(wrong, key=lambda place: (-float(marks.sure[place]), int(marks.rows[place])))
    return tuple(
        Mistake(
            files[int(marks.rows[place])],
            classes[int(marks.right[place])],
            classes[int(marks.classified[place])],
            round(float(marks.sure[place]), 4),
        )
        for place in surest[:MISTAKES]
    )
