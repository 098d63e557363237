"""Job specs and results: what crosses the wall between control and learning, as JSON files.  No torch."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, cast

from learnd.domain import ImageFile, Join, PluginInfo, Problem, Report, TaskOptions

T = TypeVar("T")


@dataclass(frozen=True)
class BackboneSpec:
    """Which shared CNN to load.

    name: "conv4" | "conv4-views" | "conv4-rgb" | "lite0" | "lite0-meta" | "timm:<model>", or one of them and "@<file>".
    file and hash are those of the state's own copy; both None until the state has one.
    """

    name: str
    file: str | None = None
    hash: str | None = None


@dataclass(frozen=True)
class RoutingSpec:
    """Limits of the routing; see config.yaml.

    without: the algorithms that are left out, as they were at work when workers were lost to this job.
    """

    budget_seconds: float
    folds: int
    shortlist: int
    good_enough: float
    without: tuple[str, ...] = ()


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
    """A learnt revision that takes part in an answer.  folder holds its files (state/tasks/<id>/<revision>).

    statistics and adapted: the sha256 of statistics.safetensors and adapted.safetensors as they were committed.
    joins: what its classes are answered as, where that is not themselves.
    """

    id: str
    name: str
    revision: int
    folder: str
    statistics: str
    adapted: str
    joins: tuple[Join, ...] = ()


HEAD = "head.safetensors"  # in the out of a survey job, and in the state


@dataclass(frozen=True)
class HeadFile:
    """A head that was fitted before: the file, and its sha256 as it was written."""

    path: str
    sha256: str


@dataclass(frozen=True)
class PredictSpec:
    """Ask about images.  task None: among everything ever learnt; else one member, and its own adapted state.

    head: where the head over the members may be found ready made.
    """

    images: tuple[str, ...]
    members: tuple[Member, ...]
    task: str | None
    top: int
    out: str
    head: HeadFile | None = None
    kind: str = "predict"


EXEMPLARS, HELD_OUT = "exemplars.zip", "heldout.zip"  # among the files of a revision
BACKBONE, CONSOLIDATION = "backbone.safetensors", "consolidation.json"  # in the out of a consolidate job


@dataclass(frozen=True)
class ConsolidateSpec:
    """Train a candidate network on what is kept of the members, and make each of them anew with it.

    parent: the version that holds them.  becomes: the revision that each is to have.  steps: of the outer loop.
    stop: a path; once something is there, the job ends as soon as it can, with the status "stopped".  trimmed: ids of
    the members of whose images memory.max_bytes took some.
    """

    parent: int
    members: tuple[Member, ...]
    becomes: tuple[int, ...]
    steps: int
    seed: int
    stop: str
    out: str
    trimmed: tuple[str, ...] = ()
    kind: str = "consolidate"


@dataclass(frozen=True)
class Form:
    """A task as the candidate network knows it.  files: name -> sha256, in <out>/<folder>."""

    id: str
    revision: int
    files: dict[str, str]

    @property
    def folder(self) -> str:
        return f"{self.id}/{self.revision}"


@dataclass(frozen=True)
class Paired:
    """The judged images of a task, in the same order each time: was it told right, before and after?

    scoped: among the task's own classes, by its own adapted state; unified: among everything that is known.
    """

    task: str
    scoped_before: tuple[bool, ...]
    scoped_after: tuple[bool, ...]
    unified_before: tuple[bool, ...]
    unified_after: tuple[bool, ...]


@dataclass(frozen=True)
class Consolidation:
    """What a consolidate job made, in <out>/consolidation.json.  macs: multiply-adds an image; bytes: of the files.

    learners: ids of the tasks whose images trained the network.
    """

    parent: int
    backbone_hash: str
    backbone_sha256: str
    learners: tuple[str, ...]
    forms: tuple[Form, ...]
    judged: tuple[Paired, ...]
    macs_before: int
    macs_after: int
    bytes_before: int
    bytes_after: int
    seconds: float


@dataclass(frozen=True)
class Asked:
    """A task of which a survey asks.  heldout: the sha256 of its heldout.safetensors; None where it has none."""

    id: str
    heldout: str | None


@dataclass(frozen=True)
class SurveySpec:
    """How well are these tasks told among everything that a version holds?  asked: some of the members."""

    version: int
    members: tuple[Member, ...]
    asked: tuple[Asked, ...]
    out: str
    kind: str = "survey"


@dataclass(frozen=True)
class Surveyed:
    """How one task was told among everything: a "1" for each image told right, a "0" for each that was not.

    measured_on: "query" (its held-out images) | "leave-one-out" (each image that it remembers, as if not learnt).
    """

    id: str
    measured_on: str
    told: str


@dataclass(frozen=True)
class Near:
    """A task, and how far it is from another: a Bhattacharyya distance, 0 or more."""

    task: str
    distance: float


@dataclass(frozen=True)
class Twin:
    """A class that nearly coincides with the class other of a task.

    ratio: their squared distance by that of two halves of one class; about 1 where they are one and the same.
    """

    class_name: str
    task: str
    other: str
    ratio: float


@dataclass(frozen=True)
class Related:
    """What a survey found a task to be like.  nearest: a few tasks, the nearest first."""

    id: str
    nearest: tuple[Near, ...]
    twins: tuple[Twin, ...]


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
    were accepted) | "damaged" (a file of the state, where a predict or survey job reads it) | "dropped" (a survey that
    was to make way) | "failed" (the task or every algorithm is to blame: final) | "no_room" (the disk takes nothing: it
    waits for room) | "broken" (memory ran out, or a defect: tried again, by another worker) | "stopped" (a
    consolidation that was asked to).  reason: of any but
    "done".  files: name -> sha256 of what lies in out/.
    """

    status: str
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    report: Report | None = None
    files: dict[str, str] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    surveyed: tuple[Surveyed, ...] = ()
    related: tuple[Related, ...] = ()


@dataclass(frozen=True)
class Hello:
    """The first line of a warm worker: what it is and what it holds."""

    device: str
    pid: int
    backbone: str
    backbone_hash: str
    plugins: tuple[PluginInfo, ...]
    versions: dict[str, str]  # torch, torchvision, python, learnd
    readers: tuple[str, ...] = ()  # extensions of files that plugins read, e.g. ".wav"
    observers: tuple[str, ...] = ()  # plugins that want to be told of events


@dataclass(frozen=True)
class Loaded:
    """What a warm worker says when it has loaded the plugins anew.  The fields are those of Hello."""

    plugins: tuple[PluginInfo, ...]
    readers: tuple[str, ...]
    observers: tuple[str, ...]


def legible(data: Any) -> Any:
    """JSON data with whatever is no Unicode text (lone surrogates) escaped, so that it can be stored and shown."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {legible(key): legible(value) for key, value in data.items()}
    return [legible(item) for item in data] if isinstance(data, list) else data


@dataclass(frozen=True)
class Verdict:
    """How one check of the conformance kit went.  outcome: "passed" | "failed" | "spared" (it does not concern it).

    promise: what was to be kept, a sentence.  seen and remedy say what went wrong and how to mend it; of a check that
    was spared, seen says why.
    """

    algorithm: str
    check: str
    promise: str
    outcome: str
    seen: str = ""
    remedy: str = ""
    seconds: float = 0.0


def to_json(value: Any) -> Any:
    """A frozen value as plain JSON data."""
    return dataclasses.asdict(value)


def to_json_all(values: Iterable[Any]) -> list[Any]:
    """Frozen values as a list of plain JSON data."""
    return [to_json(value) for value in values]


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
