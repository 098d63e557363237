"""The sums that the classifier over all classes is fitted from; adding or removing a task costs that task's work only.

They hold the sums and counts of each member's classes, the scatter within classes over all members, and a sample of
images for leave-one-out.  The scatter is added up in whole multiples of 2^-40, so every sum and difference is exact:
the result depends on the members alone, not on the order in which they came or on what was removed since.  While there
are fewer rows than features, the rows are kept instead, since the head is then fitted faster from them.
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

SAMPLES = 1024  # images that are left out in turn, spread over the classes; 256 gave a wrong temperature
SPARE = 1024  # samples kept in addition, so that a task can be removed
UNIT = 40  # bits behind the point of the scatter
MAX_IMAGES = 1 << 22  # images: beyond, a sum could overflow
# (bits, images): rows are rounded to these bits if they are this many images at most.  Then every product and every
# partial sum of a block is a whole number below 2^53, which a matrix product of float64 adds up without rounding,
# whatever the order.  Squared residuals of features of length one add up to no more than there are images.
BITS = ((20, 1 << 12), (18, 1 << 16), (16, 1 << 20), (14, MAX_IMAGES))


@dataclass(frozen=True)
class MemberSums:
    """The sums of one member.  count: int64 (k,); sum: float64 (k, D); rows: the length of its `within`, which is kept
    while there are fewer rows than features.
    """

    classes: tuple[str, ...]
    count: Tensor
    sum: Tensor
    rows: int
    within: Tensor | None


@dataclass(frozen=True, order=True)
class LeftOutSample:
    """An image for leave-one-out.  Samples are ordered by their number in their class, then by hash."""

    number: int  # of the image in its class
    hash: str
    key: Key
    owner: int  # its class, an index into the member's classes
    residual: Tensor = field(compare=False, repr=False)  # float64 (D,), the image minus its class mean


@dataclass(frozen=True)
class Ledger:
    """The sums of all members in one kind of features.  scatter: int64 (D, D), None while the pages hold their rows.

    samples: the first in order, at least SAMPLES of them if there are as many.  candidates: the number of all samples.
    """

    pages: Mapping[Key, MemberSums] = field(default_factory=dict)
    scatter: Tensor | None = None
    samples: tuple[LeftOutSample, ...] = ()
    candidates: int = 0

    @property
    def ordered(self) -> list[tuple[Key, MemberSums]]:
        """The pages sorted by key, whatever the order of arrival."""
        return sorted(self.pages.items())

    @property
    def images(self) -> int:
        return sum(int(page.count.sum()) for page in self.pages.values())


def added(ledger: Ledger, members: Sequence[tuple[Key, Statistics]]) -> Ledger:
    """Add members.  Raises ValueError if features differ in width, or there are more than MAX_IMAGES images."""
    if not members:
        return ledger
    pages = dict(ledger.pages)
    for key, own in members:
        pages[key] = MemberSums(own.classes, own.count, own.sum, len(own.within), own.within)
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
    samples = list(ledger.samples)
    candidates = ledger.candidates
    for key, own in members:
        found = samples_of(key, own)
        candidates += len(found)
        for sample in found:
            if len(samples) < SAMPLES + SPARE or sample < samples[-1]:
                bisect.insort(
                    samples, replace(sample, residual=sample.residual.clone())
                )  # a view would keep all of its file in memory
                del samples[SAMPLES + SPARE :]
    return Ledger(pages, scatter, tuple(samples), candidates)


def removed(ledger: Ledger, members: Sequence[tuple[Key, Statistics]]) -> Ledger | None:
    """Remove members.  None if the ledger alone does not hold enough, and must be built again."""
    gone = {key for key, _ in members}
    pages = {key: page for key, page in ledger.pages.items() if key not in gone}
    scatter = ledger.scatter
    if scatter is not None:
        if not pages or sum(page.rows for page in pages.values()) < scatter.shape[0]:
            return None  # the rows are needed again
        scatter = scatter - scatter_of(
            [MemberSums(own.classes, own.count, own.sum, 0, own.within) for _, own in members]
        )
    samples = tuple(sample for sample in ledger.samples if sample.key not in gone)
    candidates = ledger.candidates - sum(len(samples_of(key, own)) for key, own in members)
    if len(samples) < min(SAMPLES, candidates):
        return None
    return Ledger(pages, scatter, samples, candidates)


def samples_of(key: Key, own: Statistics) -> list[LeftOutSample]:
    """The images of a member that can be left out: those whose class has another image."""
    found: list[LeftOutSample] = []
    seen: dict[int, int] = {}
    for row, owner in enumerate(own.owners.tolist()):
        number = seen[owner] = seen.get(owner, -1) + 1
        if int(own.count[owner]) > 1:
            text = f"{key[0]}/{own.classes[owner]}/{number}".encode("utf-8", "surrogatepass")
            found.append(LeftOutSample(number, hashlib.sha256(text).hexdigest(), key, owner, own.witnesses[row]))
    return found


def scatter_of(pages: Iterable[MemberSums]) -> Tensor:
    """The scatter within the classes of these pages, which must hold rows: int64 (D, D), exact for the rounded rows."""
    total: Tensor | None = None
    for bits, block in _blocks(pages):
        rows = torch.cat(block).mul(1 << bits).round()  # (R, D) whole numbers
        exact = (rows.T @ rows).long() << (UNIT - 2 * bits)
        total = exact if total is None else total.add_(exact)
    assert total is not None  # callers pass at least one page
    return total


def _blocks(pages: Iterable[MemberSums]) -> Iterable[tuple[int, list[Tensor]]]:
    """Groups of rows that one product may take, each with the bits that its rows are rounded to."""
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
