"""One answer among every class ever learnt, where tasks use different adapters of the backbone.

The tasks that use one adapter are a group.  Which group an image belongs to is asked of the plain features, in which
every task is remembered; which class within the group, of the features under the group's own adapter:
p(class | x) = p(group | x) p(class | x, group), as in a hierarchical mixture of experts (Jordan & Jacobs 1994).
Without an adapter in use it is the unified head and nothing else.

Joined classes are distinguished as before, each in the features and from the images of its own task, and the
probability of the one that they are answered as is the sum of theirs: a mixture, since the same thing may look
different in two tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.learning.knowledge.class_statistics import Statistics
from learnd.learning.knowledge.classifier import UnifiedHead, fitted_head
from learnd.learning.knowledge.classifier_sums import Key, Ledger, added, removed
from learnd.learning.networks.adapters import IDENTITY
from learnd.messages.jobs import Member
from learnd.messages.joins import answered_as, joined

Features = Mapping[str, Tensor]  # adapter -> features float32 (N, D) of the same images under it


@dataclass(frozen=True)
class AdapterGroup:
    """The tasks of one adapter.  head: over their K' classes.  columns: int64 (K',), their places among all."""

    head: UnifiedHead
    columns: Tensor


@dataclass(frozen=True)
class GroupedHead:
    """A classifier over J (task, class) pairs, as which K >= J known ones are answered; K > J where some are joined.

    plain: over all K; groups: by adapter, the identity has none.  classes: the J.  places: int64 (K,), which of them
    each of plain.classes is answered as.
    """

    plain: UnifiedHead
    groups: Mapping[str, AdapterGroup]
    classes: tuple[tuple[str, str], ...]
    places: Tensor

    def answer(self, features: Features) -> tuple[Tensor, Tensor]:
        """log_posterior and novelty in one pass: (N, J), (N,)."""
        plain, novelty = self.plain.answer(features[IDENTITY])  # (N, K), (N,)
        within: dict[str, Tensor] = {}
        for adapter, group in self.groups.items():
            within[adapter], strange = group.head.answer(features[adapter])  # (N, K'), (N,)
            likely = plain[:, group.columns].logsumexp(1).exp() > 0.5  # (N,)
            novelty = torch.where(likely, novelty.maximum(strange), novelty)
        return self.combined(plain, within), novelty

    def combined(self, plain: Tensor, within: Mapping[str, Tensor]) -> Tensor:
        """The answer (N, J) made of that of the plain head (N, K) and those of groups (N, K'), by adapter.

        Within a group that says nothing the plain head's answer stands.
        """
        answer = plain.clone() if within else plain
        for adapter, said in within.items():
            columns = self.groups[adapter].columns
            answer[:, columns] = plain[:, columns].logsumexp(1, keepdim=True) + said
        return self._joined(answer)

    def _joined(self, answer: Tensor) -> Tensor:
        """The probabilities of joined classes are added up: (N, K) -> (N, J)."""
        if len(self.classes) == len(self.places):
            return answer
        joined = answer.new_empty(len(answer), len(self.classes))
        joined[:, self.places] = answer  # right but for joined classes
        for place in (self.places.bincount() > 1).nonzero()[:, 0]:
            joined[:, place] = answer[:, self.places == place].logsumexp(1)
        return joined

    def log_posterior(self, features: Features) -> Tensor:
        """float64 (N, J), normalised; features under the identity and under every adapter that has a group."""
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


Ledgers = Mapping[str, Ledger]  # of all members in the plain features, and by adapter of those that use it


def grouped_head(members: Sequence[tuple[Member, Statistics]]) -> GroupedHead:
    """The head over all classes of the members; the same for every order in which they are given.

    Raises ValueError if there is no member, or features of one kind differ in width.
    """
    return head_of([member for member, _ in members], noted({}, members))


def noted(ledgers: Ledgers, members: Sequence[tuple[Member, Statistics]]) -> Ledgers:
    """With these members as well.  Raises ValueError as `ledger.added` does."""
    new = dict(ledgers)
    for adapter, own in _by_adapter(members).items():
        new[adapter] = added(new.get(adapter, Ledger()), own)
    return new


def struck(ledgers: Ledgers, members: Sequence[tuple[Member, Statistics]]) -> Ledgers | None:
    """Remove members.  None if the ledgers must be built again."""
    new = dict(ledgers)
    for adapter, own in _by_adapter(members).items():
        less = removed(new.pop(adapter), own)
        if less is None:
            return None
        if less.pages:
            new[adapter] = less
    return new


def _by_adapter(members: Sequence[tuple[Member, Statistics]]) -> dict[str, list[tuple[Key, Statistics]]]:
    found: dict[str, list[tuple[Key, Statistics]]] = {}
    for member, known in members:
        for own in filter(None, (known, known.adapted)):
            found.setdefault(own.adapter, []).append(((member.id, member.revision), own))
    return found


def head_of(members: Sequence[Member], ledgers: Ledgers) -> GroupedHead:
    """The head that ledgers make; members: those that they are of."""
    heads: dict[str, UnifiedHead] = {}
    for adapter, ledger in sorted(ledgers.items()):
        heads[adapter] = fitted_head([one for one in members if (one.id, one.revision) in ledger.pages], ledger)
    if IDENTITY not in heads:
        raise ValueError("no member takes part")
    return assembled(members, heads)


def assembled(members: Sequence[Member], heads: Mapping[str, UnifiedHead]) -> GroupedHead:
    """The head made of that over everything, under the identity, and of those by adapter."""
    plain = heads[IDENTITY]
    place = {pair: column for column, pair in enumerate(plain.classes)}
    groups = {
        adapter: AdapterGroup(head, torch.tensor([place[pair] for pair in head.classes]))
        for adapter, head in sorted(heads.items())
        if adapter != IDENTITY
    }
    answered = answered_as(plain.classes, joined(members))
    classes = tuple(dict.fromkeys(answered))
    column = {pair: place for place, pair in enumerate(classes)}
    return GroupedHead(plain, groups, classes, torch.tensor([column[pair] for pair in answered]))
