"""What was measured when a task was learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class CandidateOutcome(StrEnum):
    """What became of an algorithm that a task could have been learned with."""

    CHOSEN = "chosen"
    MEASURED = "measured"  # and another one was better, or as good and cheaper
    NOT_SHORTLISTED = "not shortlisted"
    GOOD_ENOUGH_WITHOUT = "good enough without"  # a cheaper one was good enough
    OVER_BUDGET = "over budget"
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"


class MeasuredOn(StrEnum):
    """The images that an accuracy was measured on."""

    QUERY = "query"  # held-out images of the task
    CROSS_VALIDATION = "cross-validation"  # support images, fold by fold
    KEPT_IMAGES = "kept images"  # of a revision that a consolidation made
    LEAVE_ONE_OUT = "leave-one-out"  # each remembered image, as if it had not been learned


@dataclass(frozen=True)
class CandidateScore:
    """One algorithm's line in the report: what it bid, what was measured, what it cost.

    accuracy: cross-validated on the support, in [0, 1]; None if it was not measured.
    """

    algorithm: str
    bid: float
    bid_reason: str
    expected_seconds: float
    outcome: CandidateOutcome
    reason: str = ""
    accuracy: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class AdapterScore:
    """One adapter of the backbone on the support of a task; "identity" is the backbone as it is.

    The nearest class mean classified `hits` of `tries` images correctly, each left out in turn; tries is 0 if no class
    has two images.  near: the share of images that look like the adapter's own domain, in [0, 1]; of the identity 0.
    """

    adapter: str
    hits: int
    tries: int
    near: float = 0.0


@dataclass(frozen=True)
class Confusion:
    """So many measured images of a class were classified as another of the task."""

    class_name: str
    told_as: str
    images: int


@dataclass(frozen=True)
class Mistake:
    """A measured image that was classified as another class, and with which probability.

    path: relative to the task folder, as it was when it was learnt.
    """

    path: str
    class_name: str
    told_as: str
    probability: float


@dataclass(frozen=True)
class Report:
    """What became of a job that was learnt.

    accuracy_ci: the 95 % Wilson interval; it, the accuracy and measured_on are None if nothing could be measured.
    domain, description: from the task.yaml.  adapter: the one that the task uses; adapters: how each did, () if the
    backbone has none.  stages: seconds by stage (read, embed, choose, route, adapt, evaluate, save).  asked: measured
    images per class.  confusions: what others were classified as, the most frequent first.  mistakes: the wrong answers
    of the highest probability.  derived_from: the revision that a consolidation refitted; None if it was learned.
    """

    task: str
    id: str
    revision: int
    digest: str
    classes: tuple[str, ...]
    images: int
    queries: int
    algorithm: str
    candidates: tuple[CandidateScore, ...]
    accuracy: float | None
    accuracy_ci: tuple[float, float] | None
    measured_on: MeasuredOn | None
    measured_images: int
    transductive: bool
    backbone: str
    backbone_hash: str
    device: str
    seed: int
    seconds: float
    domain: str | None = None
    description: str | None = None
    adapter: str = "identity"
    adapters: tuple[AdapterScore, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)
    asked: tuple[int, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    derived_from: int | None = None
