"""A tiny backbone and a tiny task: what the learning tests need where real images would add nothing but time.

They are those of the conformance kit, under shorter names.
"""

from __future__ import annotations

from learnd.learning.conformance.drawn_inputs import FEATURES, SIZE, context
from learnd.learning.conformance.drawn_inputs import gratings as striped
from learnd.learning.conformance.drawn_inputs import small_backbone as tiny_backbone
from learnd.learning.conformance.drawn_inputs import support_of as tiny_support
from learnd.learning.conformance.drawn_inputs import task_of as tiny_task
from learnd.messages.jobs import RoutingSpec

__all__ = ["FEATURES", "SIZE", "context", "routing", "striped", "tiny_backbone", "tiny_support", "tiny_task"]


def routing(budget_seconds: float = 20.0, folds: int = 5, shortlist: int = 4, good_enough: float = 0.95) -> RoutingSpec:
    return RoutingSpec(budget_seconds, folds, shortlist, good_enough)
