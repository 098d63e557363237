"""A task as values: its state, its problems, its images and its options."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

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
        """In a line, for a person; without the place if that is the folder itself."""
        return self.what if self.where in ("", ".") else f"{self.where}: {self.what}"


class ImageSplit(StrEnum):
    """What an image of a task is for."""

    SUPPORT = "support"  # to learn from
    QUERY = "query"  # held out, to measure with


@dataclass(frozen=True)
class ImageFile:
    """One image of a task.  path is relative to the task folder, as on the disk, with "/" between its parts.

    class_name is NFC-normalised.
    """

    path: str
    class_name: str
    split: ImageSplit = ImageSplit.SUPPORT


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
