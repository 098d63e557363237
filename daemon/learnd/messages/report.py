"""What was measured when a task was learnt."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CandidateScore:
    """One algorithm's line in the report: what it bid, what was measured, what it cost.

    outcome: "chosen" | "measured" | "not shortlisted" | "good enough without" | "over budget" | "failed" |
    "out of memory".
    accuracy is the cross-validated accuracy on the support, in [0, 1]; None where it was not measured.
    """

    algorithm: str
    bid: float
    bid_reason: str
    expected_seconds: float
    outcome: str
    reason: str = ""
    accuracy: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class AdapterScore:
    """One adapter of the backbone on the support of a task; "identity" is the backbone as it is.

    hits of tries images were told right by the nearest class mean, each left out in turn; tries is 0 where no class has
    two images.  near: the share of images that look like the adapter's own domain, in [0, 1]; of the identity 0.
    """

    adapter: str
    hits: int
    tries: int
    near: float = 0.0


@dataclass(frozen=True)
class Confusion:
    """So many measured images of a class were told as another of the task."""

    class_name: str
    told_as: str
    images: int


@dataclass(frozen=True)
class Mistake:
    """A measured image that was told as another class, and with which probability.

    path: relative to the task folder, as it was when it was learnt.
    """

    path: str
    class_name: str
    told_as: str
    probability: float


@dataclass(frozen=True)
class Report:
    """What became of a job that was learnt.

    measured_on: "query" | "cross-validation" | "kept images" (of a revision that a consolidation made); accuracy_ci is
    the 95 % Wilson interval of the accuracy; all three are None where nothing could be measured.  domain and
    description are those of the task.yaml.  adapter: the one of the backbone's that the task uses; adapters: how each
    of them did, none where the backbone has none.  stages: seconds by stage (read, embed, choose, route, adapt,
    evaluate, save).  asked: images of each class that were measured; confusions: what others were told as, the most
    frequent first; mistakes: those that were told wrong most surely.  derived_from: the revision that a consolidation
    made this one of; None: it was learnt.
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
    measured_on: str | None
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
