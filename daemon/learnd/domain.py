"""The words of the house: frozen values that both wings share.  No torch, nothing that touches a disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = 1  # of every JSON document that leaves a process
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")  # of images; plugins may read others


class TaskState(StrEnum):
    """Where a revision of a task stands."""

    WAITING = "waiting"  # not ready: it grows, or has not been quiet for long enough
    QUEUED = "queued"
    RUNNING = "running"
    LEARNED = "learned"
    FAILED = "failed"  # accepted, but could not be learnt
    REJECTED = "rejected"  # the folder itself is wrong; every problem is listed
    DUPLICATE = "duplicate"  # the same content as another task
    SKIPPED = "skipped"
    FORGOTTEN = "forgotten"


class Severity(StrEnum):
    ERROR = "error"  # the task is rejected
    WARNING = "warning"  # worth saying; the task is learnt all the same


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a task folder: what, where, and how to mend it.

    code is a stable short name for scripts ("one-class", "undecodable"); where is relative to the task folder.
    """

    code: str
    where: str
    what: str
    remedy: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """In a line, for a person; without the place where that is the folder itself."""
        return self.what if self.where in ("", ".") else f"{self.where}: {self.what}"


@dataclass(frozen=True)
class ImageFile:
    """One image of a task.  path is relative to the task folder, as on the disk, with "/" between its parts.

    class_name is NFC-normalised; split is "support" (to learn from) or "query" (held out to measure with).
    """

    path: str
    class_name: str
    split: str = "support"


@dataclass(frozen=True)
class TaskOptions:
    """What a task.yaml may say.  holdout is the share of each class kept to measure with, in [0, 0.9].

    extends: a task whose classes of equal name these are.  alias: class -> "TASK/CLASS", which it is answered as.
    """

    algorithm: str | None = None
    priority: int = field(default=0, metadata={"min": -1000, "max": 1000})
    holdout: float = field(default=0.0, metadata={"min": 0, "max": 0.9})
    domain: str | None = None
    description: str | None = None
    extends: str | None = None
    alias: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Join:
    """A class of one task is answered as a class, other, of a task by name, as long as that is known."""

    class_name: str
    task: str
    other: str


@dataclass(frozen=True)
class Task:
    """A revision of a task as a plugin's bid sees it: numbers and names, no pixels.

    id is safe in a path and the same for every revision of a name.  shots[k] is the number of support images of
    classes[k]; classes are sorted.  features is the backbone's width D; macs its multiply-adds an image.
    meta_learnt: the algorithms for which the backbone carries meta-learnt parameters.
    """

    id: str
    name: str
    revision: int
    classes: tuple[str, ...]
    shots: tuple[int, ...]
    queries: int
    options: TaskOptions
    backbone: str
    features: int
    macs: int
    device: str
    meta_learnt: tuple[str, ...] = ()

    @property
    def ways(self) -> int:
        return len(self.classes)

    @property
    def images(self) -> int:
        """Support images in all."""
        return sum(self.shots)


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


@dataclass(frozen=True)
class Event:
    """Something that happened.  at: Unix seconds; task: the name of the task it is about.

    kind: "queued" | "learned" | "failed" | "rejected" | "requeued" | ...; message: a sentence for a person.
    """

    at: float
    kind: str
    task: str | None
    message: str


@dataclass(frozen=True)
class PluginInfo:
    """One loaded, or quarantined, algorithm or plugin.

    source: "built-in" | "entry point" | the path of a user's file.
    """

    name: str
    source: str
    state: str  # "ok" | "quarantined" | "disabled"
    reason: str = ""
    summary: str = ""
    options: dict[str, Any] = field(default_factory=dict)
