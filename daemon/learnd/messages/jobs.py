"""Job specs: what the control plane asks of a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from learnd.messages.task import ImageFile, Join, TaskOptions


class JobKind(StrEnum):
    """What a worker is asked to do."""

    LEARN = "learn"
    PREDICT = "predict"
    SURVEY = "survey"
    CONSOLIDATE = "consolidate"
    EXPORT = "export"


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
class JobSpec:
    """What is to be learnt, as the queue keeps it.  folder is absolute; files are relative to it.

    culprits: the algorithms that were at work when workers were lost to this job.
    """

    folder: str
    files: tuple[ImageFile, ...] = ()
    options: TaskOptions = field(default_factory=TaskOptions)
    culprits: tuple[str, ...] = ()


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
    kind: JobKind = JobKind.LEARN


@dataclass(frozen=True)
class Member:
    """A learnt revision that takes part in an answer.  folder holds its files (state/tasks/<id>/<revision>).

    statistics and adapted: the sha256 of statistics.safetensors and adapted.safetensors as they were committed.
    joins: what its classes are answered as, if that is not themselves.
    """

    id: str
    name: str
    revision: int
    folder: str
    statistics: str
    adapted: str
    joins: tuple[Join, ...] = ()


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
    kind: JobKind = JobKind.PREDICT


@dataclass(frozen=True)
class ConsolidateSpec:
    """Train a candidate network on what is kept of the members, and refit each of them with it.

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
    kind: JobKind = JobKind.CONSOLIDATE


@dataclass(frozen=True)
class TaskToSurvey:
    """A task of which a survey asks.  heldout: the sha256 of its heldout.safetensors; None if it has none."""

    id: str
    heldout: str | None


@dataclass(frozen=True)
class SurveySpec:
    """How well are these tasks classified among everything that a version holds?  asked: some of the members."""

    version: int
    members: tuple[Member, ...]
    asked: tuple[TaskToSurvey, ...]
    out: str
    kind: JobKind = JobKind.SURVEY


@dataclass(frozen=True)
class ExportSpec:
    """Write the backbone that the worker holds to out/backbone.safetensors."""

    out: str
    kind: JobKind = JobKind.EXPORT
