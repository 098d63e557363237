"""The words of the house: frozen values that both wings share.  No torch, nothing that touches a disk."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, cast

SCHEMA = 1  # of every JSON document that leaves a process

T = TypeVar("T")


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
    """What a task.yaml may say.  holdout is the share of each class kept to measure with, in [0, 0.9]."""

    algorithm: str | None = None
    priority: int = field(default=0, metadata={"min": -1000, "max": 1000})
    holdout: float = field(default=0.0, metadata={"min": 0, "max": 0.9})
    domain: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Task:
    """A revision of a task as a plugin's bid sees it: numbers and names, no pixels.

    id is safe in a path and the same for every revision of a name.  shots[k] is the number of support images of
    classes[k]; classes are sorted.  features is the backbone's width D; macs its multiply-adds an image.
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

    outcome: "chosen" | "measured" | "not shortlisted" | "good enough without" | "over budget" | "failed".
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
class Report:
    """What became of a job that was learnt.  accuracy is measured on `measured_on` ("query" | "cross-validation").

    accuracy_ci is its 95 % Wilson interval; all three are None where nothing could be measured.
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
    stages: dict[str, float] = field(
        default_factory=dict
    )  # seconds by stage: read, embed, route, adapt, evaluate, save


@dataclass(frozen=True)
class PluginInfo:
    """One loaded, or quarantined, algorithm.  source: "built-in" | "entry point" | the path of a user's file."""

    name: str
    source: str
    state: str  # "ok" | "quarantined" | "disabled"
    reason: str = ""
    summary: str = ""
    options: dict[str, Any] = field(default_factory=dict)


# --- job specs and results: what crosses the wall between control and learning, as JSON files -----------------


@dataclass(frozen=True)
class BackboneSpec:
    """Which shared CNN to load.  name: "conv4" | "lite0" | "timm:<model>" | "timm:<model>@<file>".

    file and hash are those of the state's own copy; both None until the state has one.
    """

    name: str
    file: str | None = None
    hash: str | None = None


@dataclass(frozen=True)
class RoutingSpec:
    """Limits of the routing; see config.yaml."""

    budget_seconds: float
    folds: int
    shortlist: int
    good_enough: float


@dataclass(frozen=True)
class LearnSpec:
    """Learn one revision of a task.  folder and out are absolute; files are relative to folder."""

    job: int
    epoch: int
    id: str
    name: str
    revision: int
    folder: str
    files: tuple[ImageFile, ...]
    digest: str
    options: TaskOptions
    routing: RoutingSpec
    exemplars_per_class: int
    seed: int
    out: str
    kind: str = "learn"


@dataclass(frozen=True)
class Member:
    """A learnt revision that takes part in an answer.  folder holds its files (state/tasks/<id>/<revision>)."""

    id: str
    name: str
    revision: int
    folder: str


@dataclass(frozen=True)
class PredictSpec:
    """Ask about images.  task None: among everything ever learnt; else one member, and its own adapted state."""

    images: tuple[str, ...]
    members: tuple[Member, ...]
    task: str | None
    top: int
    out: str
    kind: str = "predict"


@dataclass(frozen=True)
class ExportSpec:
    """Write the backbone that the worker holds to out/backbone.safetensors."""

    out: str
    kind: str = "export"


@dataclass(frozen=True)
class Guess:
    """One class an image may be of."""

    task: str
    class_name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer about one image: its best guesses, the best first; unknown: none of them is likely.

    error is set, and top empty, where the image could not be read.
    """

    image: str
    top: tuple[Guess, ...]
    unknown: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a worker says at the end of a job; it lies in <out>/result.json.

    status: "done" | "rejected" (problems: the folder is to blame) | "changed" (the files are no longer those that
    were accepted) | "failed" (reason).  files: name -> sha256 of what lies in out/.
    """

    status: str
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    report: Report | None = None
    files: dict[str, str] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()


@dataclass(frozen=True)
class Hello:
    """The first line of a warm worker: what it is and what it holds."""

    device: str
    pid: int
    backbone: str
    backbone_hash: str
    plugins: tuple[PluginInfo, ...]
    versions: dict[str, str]  # torch, torchvision, python, learnd


def to_json(value: Any) -> Any:
    """A frozen value as plain JSON data."""
    return dataclasses.asdict(value)


def from_json(kind: type[T], data: Any) -> T:
    """Plain JSON data as the dataclass it was made from.  Raises TypeError or KeyError where it does not fit."""
    return cast(T, _revive(kind, data))


def _revive(kind: Any, data: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return cast(Any, kind)(**{name: _revive(hints[name], value) for name, value in data.items()})
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _revive(next(a for a in arguments if a is not type(None)), data)
    if origin is tuple:
        kinds = [arguments[0]] * len(data) if arguments[-1] is ... else arguments
        return tuple(_revive(k, item) for k, item in zip(kinds, data, strict=True))
    if origin is dict:
        return dict(data)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(data)
    if kind is float and isinstance(data, int):
        return float(data)
    return data
