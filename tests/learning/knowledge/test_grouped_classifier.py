"""One answer over tasks in different features: the group by the plain ones, the class by the group's own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from learnd.learning.knowledge.class_statistics import Statistics, statistics
from learnd.learning.knowledge.classifier import unified_head
from learnd.learning.knowledge.grouped_classifier import grouped_head
from learnd.messages.jobs import Member
from learnd.messages.task import Join

WIDTH = 16


def member(name: str) -> Member:
    return Member(f"{name}-0", name, 1, "", "", "")


class World:
    """Photographs, which plain features distinguish, and glyphs, a heap to them, which an adapter tells apart."""

    def __init__(self) -> None:
        self.draw = torch.Generator().manual_seed(0)
        self.photographs = self.noise(4, 3.0)
        self.heap = self.noise(1, 3.0)
        self.glyphs = self.noise(4, 3.0)

    def noise(self, rows: int, size: float) -> Tensor:
        return size * torch.randn(rows, WIDTH, generator=self.draw)

    def features(self, kind: str, labels: Tensor) -> dict[str, Tensor]:
        """Features (N, D) of images of a kind, as the plain network and as the adapter sees them."""
        rows = len(labels)
        if kind == "photographs":
            return {"identity": self.photographs[labels] + self.noise(rows, 0.5), "glyphs": self.noise(rows, 3.0)}
        plain = self.heap.expand(rows, -1) + self.noise(rows, 0.5)
        return {"identity": plain, "glyphs": self.glyphs[labels] + self.noise(rows, 0.5)}

    def learn(self, kind: str, shots: int = 8) -> tuple[Member, Statistics]:
        labels = torch.arange(4).repeat_interleave(shots)
        seen = self.features(kind, labels)
        known = statistics(seen["identity"], labels, list("abcd"))
        if kind == "glyphs":
            known = replace(known, adapted=replace(statistics(seen["glyphs"], labels, list("abcd")), adapter="glyphs"))
        return member(kind), known


def test_each_group_is_told_by_its_own_features() -> None:
    world = World()
    known = [world.learn("photographs"), world.learn("glyphs")]
    head = grouped_head(known)
    labels = torch.arange(4).repeat_interleave(25)
    for kind in ("photographs", "glyphs"):
        told = [head.classes[k] for k in head.log_posterior(world.features(kind, labels)).argmax(1).tolist()]
        right = sum(pair == (kind, "abcd"[label]) for pair, label in zip(told, labels.tolist(), strict=True))
        assert right >= 97
    plain = unified_head(known).log_posterior(world.features("glyphs", labels)["identity"]).argmax(1)
    assert float((plain == labels).double().mean()) < 0.6  # (glyphs come first): the heap


def test_probabilities_of_all_classes_sum_to_one_and_those_of_a_group_to_its_share() -> None:
    world = World()
    known = [world.learn("photographs"), world.learn("glyphs")]
    head = grouped_head(known)
    features = world.features("glyphs", torch.arange(4))
    answer, plain = head.log_posterior(features).exp(), unified_head(known).log_posterior(features["identity"]).exp()
    torch.testing.assert_close(answer.sum(1), torch.ones(4, dtype=torch.float64))
    columns = head.groups["glyphs"].columns
    torch.testing.assert_close(answer[:, columns].sum(1), plain[:, columns].sum(1))
    rest = [k for k, (task, _) in enumerate(head.classes) if task == "photographs"]
    torch.testing.assert_close(answer[:, rest], plain[:, rest])


def test_without_an_adapter_in_use_it_is_the_unified_head() -> None:
    world = World()
    known = [world.learn("photographs")]
    features = world.features("photographs", torch.arange(4))
    head = grouped_head(known)
    assert not head.groups
    assert torch.equal(head.log_posterior(features), unified_head(known).log_posterior(features["identity"]))
    assert torch.equal(head.unknown(features), unified_head(known).unknown(features["identity"]))


def test_a_stranger_among_glyphs_is_unknown_though_the_plain_features_know_it() -> None:
    world = World()
    known = [world.learn("photographs"), world.learn("glyphs", shots=20)]
    head = grouped_head(known)
    glyphs = world.features("glyphs", torch.arange(4).repeat_interleave(25))
    assert float(head.unknown(glyphs).double().mean()) < 0.1
    strangers = {**glyphs, "glyphs": world.noise(100, 3.0)}
    assert float(head.unknown(strangers).double().mean()) > 0.9
    assert float(head.plain.unknown(strangers["identity"]).double().mean()) < 0.1


def test_the_answer_does_not_depend_on_the_order_of_arrival() -> None:
    world = World()
    known = [world.learn("photographs"), world.learn("glyphs")]
    features = world.features("glyphs", torch.arange(4))
    first, other = grouped_head(known), grouped_head(known[::-1])
    assert first.classes == other.classes
    assert torch.equal(first.log_posterior(features), other.log_posterior(features))


def joined(known: tuple[Member, Statistics], *joins: Join) -> tuple[Member, Statistics]:
    return replace(known[0], joins=joins), known[1]


def test_joined_classes_are_answered_as_one_and_their_probabilities_add_up() -> None:
    world = World()
    photographs, glyphs = world.learn("photographs"), world.learn("glyphs")
    apart = grouped_head([photographs, glyphs])
    # One in either kind of features, so that nothing but their answers could be added up.
    together = grouped_head([photographs, joined(glyphs, Join("a", "photographs", "b"))])
    assert len(apart.classes) == 8
    assert set(apart.classes) - set(together.classes) == {("glyphs", "a")}
    places = [together.classes.index(pair) for pair in apart.classes if pair in together.classes]
    for kind in ("photographs", "glyphs"):
        features = world.features(kind, torch.arange(4).repeat_interleave(25))
        before, after = apart.log_posterior(features).exp(), together.log_posterior(features).exp()
        assert torch.allclose(after.sum(1), torch.ones(100, dtype=torch.float64))
        both = apart.classes.index(("glyphs", "a")), apart.classes.index(("photographs", "b"))
        before[:, both[1]] += before[:, both[0]]
        before = before[:, [k for k in range(8) if k != both[0]]]
        # The temperature is another one: what is not clear between the two is clear now.
        assert (before.argmax(1) == after[:, places].argmax(1)).double().mean() >= 0.99


def test_a_join_to_what_is_not_known_changes_nothing() -> None:
    world = World()
    photographs, glyphs = world.learn("photographs"), world.learn("glyphs")
    features = world.features("glyphs", torch.arange(4))
    waiting = grouped_head([photographs, joined(glyphs, Join("a", "birds", "b"))])
    assert torch.equal(waiting.log_posterior(features), grouped_head([photographs, glyphs]).log_posterior(features))


def test_joins_do_not_depend_on_the_order_of_arrival() -> None:
    world = World()
    known = [world.learn("photographs"), joined(world.learn("glyphs"), Join("a", "photographs", "b"))]
    features = world.features("glyphs", torch.arange(4))
    there, back = grouped_head(known), grouped_head(known[::-1])
    assert there.classes == back.classes
    assert torch.equal(there.log_posterior(features), back.log_posterior(features))
