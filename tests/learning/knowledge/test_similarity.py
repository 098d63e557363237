"""Near tasks are near, and only classes that are one and the same are said to be."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from learnd.learning.knowledge.class_statistics import Statistics, statistics
from learnd.learning.knowledge.classifier import UnifiedHead
from learnd.learning.knowledge.grouped_classifier import grouped_head
from learnd.learning.knowledge.similarity import MIN_IMAGES, TaskRelations, draw_map
from learnd.messages.jobs import Member
from learnd.messages.task import Join

WIDTH = 24


class World:
    """Two heaps of classes, far from one another.  draw(centres) gives a task of them."""

    def __init__(self) -> None:
        self.draw = torch.Generator().manual_seed(0)
        heaps = 4 * torch.randn(2, 1, WIDTH, generator=self.draw)
        self.birds, self.screws = heaps + 1.5 * torch.randn(2, 8, WIDTH, generator=self.draw)  # (8, D) each

    def learn(self, name: str, centres: Tensor, shots: int = 20) -> tuple[Member, Statistics]:
        labels = torch.arange(len(centres)).repeat_interleave(shots)
        noise = 0.5 * torch.randn(len(labels), WIDTH, generator=self.draw)
        classes = [chr(ord("a") + k) for k in range(len(centres))]
        return Member(f"{name}-0", name, 1, "", "", ""), statistics(centres[labels] + noise, labels, classes)


def relations(*known: tuple[Member, Statistics]) -> TaskRelations:
    return TaskRelations(grouped_head(known))


def test_a_distance_by_hand() -> None:
    means = torch.tensor([[0.0], [4.0], [8.0], [1.0]], dtype=torch.float64)  # a: 0 and 4, b: 8, c: 1
    classes = (("a", "x"), ("a", "y"), ("b", "x"), ("c", "x"))
    noise = torch.full((4,), 0.5, dtype=torch.float64)
    head = UnifiedHead(classes, torch.eye(1, dtype=torch.float64), means, noise, 1.0, math.inf, 1.0, 1, torch.ones(4))
    drawn = draw_map(head)
    assert drawn.tasks == ("a", "b", "c")
    # a to b: mean of 63/8 and 15/8 there, 15/8 back; a to c: mean of 0 (chance makes 1) and 8/8 there, 0 back.
    assert drawn.distances("a").tolist() == [0.0, (39 / 8 + 15 / 8) / 2, 0.25]
    assert drawn.distances("b").tolist()[0] == drawn.distances("a").tolist()[1]


def test_tasks_of_a_kind_are_nearest() -> None:
    world = World()
    birds = [world.learn(f"birds {part}", world.birds[4 * part : 4 * part + 4]) for part in range(2)]
    screws = [world.learn(f"screws {part}", world.screws[4 * part : 4 * part + 4]) for part in range(2)]
    found = relations(*birds, *screws)
    assert [near.task for near in found.nearest("birds 0")][0:1] == ["birds 1"]
    assert [near.task for near in found.nearest("screws 1")][0:1] == ["screws 0"]
    assert [near.distance for near in found.nearest("birds 0")] == sorted(n.distance for n in found.nearest("birds 0"))


def test_the_same_class_in_two_tasks_is_found_and_no_other() -> None:
    world = World()
    known = [
        world.learn("garden", world.birds[:5]),
        world.learn("forest", world.birds[[7, 2, 6]]),
        world.learn("works", world.screws[:5]),
    ]
    found = relations(*known)
    (twin,) = found.twins("garden")
    assert (twin.class_name, twin.task, twin.other) == ("c", "forest", "b")
    assert 0.3 < twin.ratio < 1.5
    (back,) = found.twins("forest")
    assert (back.class_name, back.task, back.other, back.ratio) == ("b", "garden", "c", twin.ratio)
    assert found.twins("works") == ()


def test_what_is_joined_already_is_not_suggested() -> None:
    world = World()
    garden, forest = world.learn("garden", world.birds[:5]), world.learn("forest", world.birds[[7, 2, 6]])
    forest = replace(forest[0], joins=(Join("b", "garden", "c"),)), forest[1]
    assert relations(garden, forest).twins("garden") == ()


def test_of_few_images_nothing_is_said() -> None:
    world = World()
    for shots, count in ((MIN_IMAGES, 1), (MIN_IMAGES - 1, 0)):
        garden = world.learn("garden", world.birds[:5])
        assert len(relations(garden, world.learn("forest", world.birds[[7, 2, 6]], shots)).twins("garden")) == count
    single = [world.learn(name, world.birds[:5], 1) for name in ("garden", "forest")]
    assert relations(*single).twins("garden") == ()


def test_tasks_of_one_adapter_are_compared_in_its_features() -> None:
    world = World()

    def glyphs(name: str, centres: Tensor) -> tuple[Member, Statistics]:
        """To the plain features all of them are one heap."""
        member, adapted = world.learn(name, centres)
        _, plain = world.learn(name, world.screws[:1].expand(len(centres), -1))
        return member, replace(plain, adapted=replace(adapted, adapter="glyphs"))

    known = [
        glyphs("greek", world.birds[:4]),
        glyphs("latin", world.birds[[6, 7, 1]]),
        world.learn("works", world.screws[1:5]),
    ]
    found = relations(*known)
    (twin,) = found.twins("greek")
    assert (twin.class_name, twin.task, twin.other) == ("b", "latin", "c")
    assert found.twins("works") == ()
