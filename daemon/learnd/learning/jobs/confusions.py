"""What images of a task were told as: which classes are confused with which, and by which images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.messages.report import Confusion, Mistake

CONFUSIONS = 200  # pairs of classes that are told of at most
MISTAKES = 12  # images


@dataclass(frozen=True)
class Marks:
    """What M images were told as; all on the CPU.

    rows: int64 (M,), which images of a part they are; right, told: int64 (M,), their classes and what they were told
    as; sure: float32 (M,), the probability of that, in [0, 1].
    """

    rows: Tensor
    right: Tensor
    told: Tensor
    sure: Tensor

    @property
    def hits(self) -> int:
        return int((self.told == self.right).sum())

    @property
    def tries(self) -> int:
        return len(self.rows)


def mark(rows: Tensor, right: Tensor, logits: Tensor) -> Marks:
    """rows, right: int64 (M,); logits: (M, K)."""
    sure, told = logits.detach().float().cpu().softmax(1).max(1)
    return Marks(rows.cpu(), right.cpu(), told, sure)


def gathered(marked: Sequence[Marks]) -> Marks:
    """All of them as one; at least one."""
    names = ("rows", "right", "told", "sure")
    return Marks(*(torch.cat([getattr(one, name) for one in marked]) for name in names))


def confusions(marks: Marks, classes: Sequence[str]) -> tuple[Confusion, ...]:
    """Which classes were told as which others, the most frequent first."""
    wrong = marks.told != marks.right  # (M,)
    pairs = Counter(zip(marks.right[wrong].tolist(), marks.told[wrong].tolist(), strict=True))
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Confusion(classes[right], classes[told], count) for (right, told), count in ordered[:CONFUSIONS])


def mistakes(marks: Marks, classes: Sequence[str], files: Sequence[str]) -> tuple[Mistake, ...]:
    """The images that were told wrong, the surest first; files: the path of each image of the part."""
    wrong = (marks.told != marks.right).nonzero()[:, 0].tolist()
    surest = sorted(wrong, key=lambda place: (-float(marks.sure[place]), int(marks.rows[place])))
    return tuple(
        Mistake(
            files[int(marks.rows[place])],
            classes[int(marks.right[place])],
            classes[int(marks.told[place])],
            round(float(marks.sure[place]), 4),
        )
        for place in surest[:MISTAKES]
    )
