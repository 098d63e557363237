"""What the head over everything is made of, added up: a task more or less costs what that task costs.

Of every member the sums and counts of its classes are kept apart, the scatter within classes of all of them together,
and some of their images that judge.  The scatter is added up in whole multiples of 2^-40, in which every sum and every
difference is exact: what comes out depends on the members alone, not on the order in which they came or on what was
taken away since.  As long as there are fewer rows than features they are kept as they are; the head is sooner found.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from learnd.learning.knowledge.class_statistics import Statistics

Key = tuple[str, int]  # a member: its id and revision

JUDGES = 1024  # images that are left out in turn, of as many classes as there are; 256 misjudged the temperature
SPARE = 1024  # more of them are kept, so that a task can be taken away
UNIT = 40  # bits behind the point of the scatter
MAX_IMAGES = 1 << 22  # images: beyond, a sum could overflow
# Rows are rounded to so many bits where all of them together are so many images at most: then every product and every
# partial sum of a block is a whole number below 2^53, which a matrix product of float64 adds up without rounding,
# whatever the order.  Squared residuals of features of length one add up to no more than there are images.
BITS = ((20, 1 << 12), (18, 1 << 16), (16, 1 << 20), (14, MAX_IMAGES))


@dataclass(frozen=True)
class JudgeBlock:
    """One member.  count: int64 (k,); sum: float64 (k, D); rows: of its `within`, which is kept while there are few."""

    classes: tuple[str, ...]
    count: Tensor
    sum: Tensor
    rows: int
    within: Tensor | None


@dataclass(frozen=True, order=True)
class Judge:
    """An image that judges.  Those come first that are the first of their class, and then by hash."""

    number: int  # of the image in its class
    hash: str
    key: Key
    owner: int  # its class, a place on the member's page
    residual: Tensor = field(compare=False, repr=False)  # float64 (D,), it less its class mean


@dataclass(frozen=True)
class Ledger:
    """Of all members in one kind of features.  scatter: int64 (D, D), None while the pages hold their rows.

    judges: the first in order, JUDGES at least where there are so many; candidates: how many there are in all.
    """

    pages: Mapping[Key, JudgeBlock] = field(default_factory=dict)
    scatter: Tensor | None = None
    judges: tuple[Judge, ...] = ()
    candidates: int = 0

    @property
    def ordered(self) -> list[tuple[Key, JudgeBlock]]:
        """The pages in the order that never changes."""
        return sorted(self.pages.items())

    @property
    def images(self) -> int:
        return sum(int(page.count.sum()) for page in self.pages.values())


def added(ledger: Ledger, members: Sequence[tuple[Key, Statistics]]) -> Ledger:
    """With these as well.  Raises ValueError where features differ in width, or there are too many images."""
    if not members:
        return ledger
    pages = dict(ledger.pages)
    for key, own in members:
        pages[key] = JudgeBlock(own.classes, own.count, own.sum, len(own.within), own.within)
    if len({page.sum.shape[1] for page in pages.values()}) > 1:
        raise ValueError("the members' features differ in width")
    if sum(int(page.count.sum()) for page in pages.values()) > MAX_IMAGES:
        raise ValueError(f"more than {MAX_IMAGES:,} images cannot be added up")
    scatter = ledger.scatter
    if sum(page.rows for page in pages.values()) >= members[0][1].sum.shape[1]:
        new = [pages[key] for key in pages if scatter is None or key not in ledger.pages]
        fresh = scatter_of(new)
        scatter = fresh if scatter is None else scatter + fresh
        pages = {key: replace(page, within=None) for key, page in pages.items()}
    judges = list(ledger.judges)
    candidates = ledger.candidates
    for key, own in members:
        found = judges_of(key, own)
        candidates += len(found)
        for judge in found:
            if len(judges) < JUDGES + SPARE or judge < judges[-1]:
                bisect.insort(judges, replace(judge, residual=judge.residual.clone()))  # or all of its file stayed
                del judges[JUDGES + SPARE :]
    return Ledger(pages, scatter, tuple(judges), candidates)


def removed(ledger: Ledger, members: Sequence[tuple[Key, Statistics]]) -> Ledger | None:
    """Without these; None where that cannot be told from the ledger alone, and it has to be made anew."""
    gone = {key for key, _ in members}
    pages = {key: page for key, page in ledger.pages.items() if key not in gone}
    scatter = ledger.scatter
    if scatter is not None:
        if not pages or sum(page.rows for page in pages.values()) < scatter.shape[0]:
            return None  # their rows are wanted again
        scatter = scatter - scatter_of(
            [JudgeBlock(own.classes, own.count, own.sum, 0, own.within) for _, own in members]
        )
    judges = tuple(judge for judge in ledger.judges if judge.key not in gone)
    candidates = ledger.candidates - sum(len(judges_of(key, own)) for key, own in members)
    if len(judges) < min(JUDGES, candidates):
        return None
    return Ledger(pages, scatter, judges, candidates)


def judges_of(key: Key, own: Statistics) -> list[Judge]:
    """The images of a member that can judge: those of classes that keep one when it is left out."""
    found: list[Judge] = []
    seen: dict[int, int] = {}
    for row, owner in enumerate(own.owners.tolist()):
        number = seen[owner] = seen.get(owner, -1) + 1
        if int(own.count[owner]) > 1:
            text = f"{key[0]}/{own.classes[owner]}/{number}".encode("utf-8", "surrogatepass")
            found.append(Judge(number, hashlib.sha256(text).hexdigest(), key, owner, own.witnesses[row]))
    return found


def scatter_of(pages: Iterable[JudgeBlock]) -> Tensor:
    """The scatter within the classes of these pages, whose rows are there: int64 (D, D), exact for the rounded rows."""
    total: Tensor | None = None
    for bits, block in _blocks(pages):
        rows = torch.cat(block).mul(1 << bits).round()  # (R, D) whole numbers
        exact = (rows.T @ rows).long() << (UNIT - 2 * bits)
        total = exact if total is None else total.add_(exact)
    assert total is not None  # nobody asks for that of nothing
    return total


def _blocks(pages: Iterable[JudgeBlock]) -> Iterable[tuple[int, list[Tensor]]]:
    """Rows that may be multiplied at once, and to how many bits they are rounded."""
    finest, most = BITS[0]
    block: list[Tensor] = []
    images = 0
    for page in pages:
        assert page.within is not None
        count = int(page.count.sum())
        if count > most:
            yield next(bits for bits, limit in BITS if count <= limit), [page.within]
            continue
        if images + count > most:
            yield finest, block
            block, images = [], 0
        block.append(page.within)
        images += count
    if block:
        yield finest, block
