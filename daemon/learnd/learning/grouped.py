"""One answer among every class ever learnt, where tasks use different adapters of the backbone.

The tasks that use one adapter are a group.  Which group an image belongs to is asked of the plain features, in which
every task is remembered; which class within the group, of the features under the group's own adapter:
p(class | x) = p(group | x) p(class | x, group), as in a hierarchical mixture of experts (Jordan & Jacobs 1994).
Without an adapter in use it is the unified head and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.learning.adapters import IDENTITY
from learnd.learning.memory import Statistics
from learnd.learning.unified import UnifiedHead, unified_head
from learnd.wire import Member

Features = Mapping[str, Tensor]  # adapter -> features float32 (N, D) of the same images under it


@dataclass(frozen=True)
class Group:
    """The tasks of one adapter.  head: over their K' classes.  columns: int64 (K',), their places among all."""

    head: UnifiedHead
    columns: Tensor


@dataclass(frozen=True)
class GroupedHead:
    """A classifier over K (task, class) pairs.  plain: over all of them; groups: by adapter, the identity has none."""

    plain: UnifiedHead
    groups: Mapping[str, Group]

    @property
    def classes(self) -> tuple[tuple[str, str], ...]:
        return self.plain.classes

    def answer(self, features: Features) -> tuple[Tensor, Tensor]:
        """log_posterior and novelty at once, for the work of one: (N, K), (N,)."""
        plain, novelty = self.plain.answer(features[IDENTITY])  # (N, K), (N,)
        answer = plain.clone() if self.groups else plain
        for adapter, group in self.groups.items():
            said, strange = group.head.answer(features[adapter])  # (N, K'), (N,)
            share = plain[:, group.columns].logsumexp(1, keepdim=True)  # (N, 1)
            answer[:, group.columns] = share + said
            novelty = torch.where(share[:, 0].exp() > 0.5, novelty.maximum(strange), novelty)
        return answer, novelty

    def log_posterior(self, features: Features) -> Tensor:
        """float64 (N, K), normalised; features under the identity and under every adapter that has a group."""
        return self.answer(features)[0]

    def novelty(self, features: Features) -> Tensor:
        """How strange an image is: above 0 where it is of no known class; float64 (N,).

        The higher of what the plain features say and what those of the group say to which it more likely belongs
        than not.
        """
        return self.answer(features)[1]

    def unknown(self, features: Features) -> Tensor:
        """Which images are of no known class: bool (N,)."""
        return self.novelty(features) > 0  # (N,)


def grouped_head(members: Sequence[tuple[Member, Statistics]]) -> GroupedHead:
    """The head over all classes of the members; the same for every order in which they are given.

    Raises ValueError where there is no member, or features of one kind differ in width.
    """
    plain = unified_head(members)
    by_adapter: dict[str, list[tuple[Member, Statistics]]] = {}
    for member, known in members:
        if known.adapted is not None:
            by_adapter.setdefault(known.adapted.adapter, []).append((member, known.adapted))
    place = {pair: column for column, pair in enumerate(plain.classes)}
    groups: dict[str, Group] = {}
    for adapter, own in sorted(by_adapter.items()):
        head = unified_head(own)
        groups[adapter] = Group(head, torch.tensor([place[pair] for pair in head.classes]))
    return GroupedHead(plain, groups)
