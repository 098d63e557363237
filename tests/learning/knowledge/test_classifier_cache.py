"""The head that is remembered is the one that would be refitted, and little is read for it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from learnd.errors import StateError
from learnd.identity import sha256_of
from learnd.learning.knowledge import class_statistics
from learnd.learning.knowledge.classifier_cache import HeadKeeper
from learnd.learning.knowledge.classifier_file import key_of, load_head, save_head
from learnd.learning.knowledge.grouped_classifier import GroupedHead
from learnd.messages.jobs import HeadFile, Member
from learnd.messages.state_files import STATISTICS_FILE
from learnd.messages.task import Join
from tests.learning.worker_contexts import worker_context

WIDTH = 16


class Shelf:
    """Members with statistics on the disk, every third under an adapter, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backbone = worker_context(folder).backbone
        self.read: list[str] = []

    def put(self, number: int, revision: int = 1) -> Member:
        draw = torch.Generator().manual_seed(100 * revision + number)
        labels = torch.arange(3).repeat_interleave(4)

        def features() -> Tensor:
            return torch.randn(3, WIDTH, generator=draw)[labels] + 0.5 * torch.randn(12, WIDTH, generator=draw)

        known = class_statistics.statistics(features(), labels, list("abc"))
        if number % 3 == 0:
            adapted = replace(class_statistics.statistics(features(), labels, list("abc")), adapter="drawn")
            known = replace(known, adapted=adapted)
        place = self.folder / f"task-{number}" / str(revision)
        place.mkdir(parents=True)
        class_statistics.save(known, place / STATISTICS_FILE, self.backbone.hash)
        digest = sha256_of(place / STATISTICS_FILE)
        return Member(f"task-{number}", f"task {number}", revision, str(place), digest, "")

    def fresh(self, members: list[Member]) -> GroupedHead:
        return HeadKeeper().head_of(tuple(members), self.backbone)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def same(left: GroupedHead, right: GroupedHead) -> bool:
    """To the bit."""
    draw = torch.Generator().manual_seed(7)
    features = {name: torch.randn(20, WIDTH, generator=draw) for name in ("identity", "drawn")}
    answers = [head.answer(features) for head in (left, right)]
    alike = all(torch.equal(one, other) for one, other in zip(*answers, strict=True))
    return left.classes == right.classes and alike


def test_whatever_came_and_went_the_head_is_that_of_the_members(shelf: Shelf) -> None:
    members = [shelf.put(number) for number in range(8)]
    keeper = HeadKeeper()
    renewed = [*members[:2], shelf.put(2, revision=2), *members[3:]]
    joined = [*members[:7], replace(members[7], joins=(Join("a", "task 0", "b"),))]
    for wanted in (members[:3], members, members[1:], members, renewed, joined, members[:1], members[5:]):
        assert same(keeper.head_of(tuple(wanted), shelf.backbone), shelf.fresh(wanted))


def test_only_what_came_is_read(shelf: Shelf) -> None:
    members = [shelf.put(number) for number in range(6)]
    keeper, looks = HeadKeeper(), []
    keeper.head_of(tuple(members[:5]), shelf.backbone)
    keeper.head_of(tuple(members), shelf.backbone, check=lambda: looks.append(1))
    assert len(looks) == 3  # before it, before the one file, before the fitting
    keeper.head_of(tuple(members), shelf.backbone, check=lambda: looks.append(1))
    assert len(looks) == 3


def test_where_the_files_of_what_went_are_gone_all_is_made_anew(shelf: Shelf) -> None:
    members = [shelf.put(number) for number in range(6)]
    keeper = HeadKeeper()
    keeper.head_of(tuple(members), shelf.backbone)
    shutil.rmtree(members[0].folder)
    assert same(keeper.head_of(tuple(members[1:]), shelf.backbone), shelf.fresh(members[1:]))


def test_what_interrupts_it_leaves_it_as_it_was(shelf: Shelf) -> None:
    members = [shelf.put(number) for number in range(6)]
    keeper = HeadKeeper()
    keeper.head_of(tuple(members[:4]), shelf.backbone)
    Path(members[5].folder, STATISTICS_FILE).write_bytes(b"rot")
    with pytest.raises(StateError, match="task-5"):
        keeper.head_of(tuple(members), shelf.backbone)
    assert same(keeper.head_of(tuple(members[:5]), shelf.backbone), shelf.fresh(members[:5]))


def test_a_head_is_read_back_to_the_bit_and_no_statistics_with_it(shelf: Shelf) -> None:
    members = [shelf.put(number) for number in range(6)]
    members[5] = replace(members[5], joins=(Join("a", "task 0", "b"),))
    head, path = shelf.fresh(members), shelf.folder / "head.safetensors"
    save_head(head, members, path, shelf.backbone.hash)
    for member in members:
        shutil.rmtree(member.folder)
    file = HeadFile(str(path), sha256_of(path))
    assert same(HeadKeeper().head_of(tuple(members[::-1]), shelf.backbone, file), head)


def test_a_head_of_others_a_damaged_one_or_none_is_not_used(shelf: Shelf) -> None:
    members = [shelf.put(number) for number in range(4)]
    path = shelf.folder / "head.safetensors"
    save_head(shelf.fresh(members[:3]), members[:3], path, shelf.backbone.hash)
    digest = sha256_of(path)
    for file in (HeadFile(str(path), digest), HeadFile(str(path), "0" * 64), HeadFile(str(path) + ".gone", digest)):
        assert load_head(file, members, shelf.backbone.hash) is None
        assert same(HeadKeeper().head_of(tuple(members), shelf.backbone, file), shelf.fresh(members))


def test_a_head_depends_on_who_is_known_under_which_name_and_on_what_is_joined(shelf: Shelf) -> None:
    one, two = (shelf.put(number) for number in range(2))
    others = (
        [one],
        [one, replace(two, revision=2)],
        [one, replace(two, name="another")],
        [one, replace(two, statistics="0" * 64)],
        [one, replace(two, joins=(Join("a", "task 0", "a"),))],
    )
    assert key_of([one, two]) == key_of([two, one])
    assert len({key_of(members) for members in ([one, two], *others)}) == 6
