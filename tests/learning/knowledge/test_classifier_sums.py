"""Added up and taken away exactly: a ledger is that of its members, however it came about."""

from __future__ import annotations

import itertools

import pytest
import torch

from learnd.learning.knowledge import classifier_sums
from learnd.learning.knowledge.class_statistics import Statistics, statistics
from learnd.learning.knowledge.classifier_sums import (
    SAMPLES,
    SPARE,
    UNIT,
    Key,
    Ledger,
    MemberSums,
    added,
    removed,
    scatter_of,
)

WIDTH = 16


def learn(number: int, ways: int = 3, shots: int = 4, width: int = WIDTH) -> tuple[Key, Statistics]:
    draw = torch.Generator().manual_seed(number)
    labels = torch.arange(ways).repeat_interleave(shots)
    features = torch.randn(ways, width, generator=draw)[labels] + torch.randn(len(labels), width, generator=draw)
    return (f"task-{number}", 1), statistics(features, labels, [f"class {k}" for k in range(ways)])


def content(ledger: Ledger) -> object:
    """All on which a head depends, to the bit."""
    pages = [(key, page.classes, page.count.tolist(), page.sum.tolist()) for key, page in ledger.ordered]
    rows = [None if page.within is None else page.within.tolist() for _, page in ledger.ordered]
    scatter = None if ledger.scatter is None else ledger.scatter.tolist()
    samples = [(sample, sample.residual.tolist()) for sample in ledger.samples[:SAMPLES]]
    return pages, rows, scatter, samples, ledger.candidates


def test_the_order_of_arrival_leaves_no_trace() -> None:
    tasks = [learn(number) for number in range(4)]
    at_once = content(added(Ledger(), tasks))
    for order in itertools.permutations(tasks):
        ledger = Ledger()
        for task in order:
            ledger = added(ledger, [task])
        assert content(ledger) == at_once


def test_what_is_taken_away_leaves_no_trace() -> None:
    tasks = [learn(number) for number in range(6)]
    whole = added(Ledger(), tasks)
    less = removed(whole, tasks[3:5])
    assert less is not None
    assert content(less) == content(added(Ledger(), [*tasks[:3], tasks[5]]))
    assert content(added(less, tasks[3:5])) == content(whole)


def test_the_scatter_is_that_of_the_rows_but_for_their_rounding() -> None:
    tasks = [learn(number) for number in range(20)]
    scatter = added(Ledger(), tasks).scatter
    assert scatter is not None
    rows = torch.cat([own.within for _, own in tasks])
    torch.testing.assert_close(scatter.double() / 2.0**UNIT, rows.T @ rows, rtol=0, atol=1e-4)


@pytest.mark.parametrize("images", [4_000, 40_000])
def test_many_images_of_a_task_are_added_up_without_overflow(images: int) -> None:
    _, own = learn(0, ways=2, shots=images // 2)
    page = MemberSums(own.classes, own.count, own.sum, len(own.within), own.within)
    exact = scatter_of([page])
    torch.testing.assert_close(exact.double() / 2.0**UNIT, own.within.T @ own.within, rtol=1e-4, atol=1e-2)
    assert torch.equal(exact, scatter_of([page]))
    assert torch.equal(scatter_of([page, page]), 2 * exact)


def test_a_few_rows_are_kept_as_they_are_until_there_are_as_many_as_features() -> None:
    first, second = learn(0), learn(1)  # 12 rows each, of 16 features
    few = added(Ledger(), [first])
    assert few.scatter is None
    assert few.pages[first[0]].within is first[1].within
    many = added(few, [second])
    assert many.scatter is not None
    assert all(page.within is None for page in many.pages.values())
    assert removed(many, [second]) is None  # the rows are wanted again
    assert removed(few, [first]) == Ledger()


def test_those_judge_that_are_the_first_of_their_class_and_then_by_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_sums, "SAMPLES", 12)
    monkeypatch.setattr(classifier_sums, "SPARE", 6)
    tasks = [learn(number) for number in range(4)]
    ledger = added(Ledger(), tasks)
    assert (len(ledger.samples), ledger.candidates) == (18, 48)
    assert [sample.number for sample in ledger.samples] == [0] * 12 + [1] * 6
    assert [sample.hash for sample in ledger.samples[:12]] == sorted(sample.hash for sample in ledger.samples[:12])
    assert removed(ledger, tasks[:1]) is not None
    less = removed(ledger, tasks[:2])
    assert less is None  # six firsts and few others are left: who comes next is not known


def test_classes_of_one_image_have_nobody_to_judge() -> None:
    assert added(Ledger(), [learn(0, shots=1)]).samples == ()
    assert SAMPLES <= SPARE


def test_features_of_two_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in width"):
        added(Ledger(), [learn(0), learn(1, width=8)])


def test_nothing_added_is_the_same_ledger() -> None:
    ledger = added(Ledger(), [learn(0)])
    assert added(ledger, []) is ledger
