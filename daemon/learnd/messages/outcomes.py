"""What a worker answers at the end of a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from learnd.messages.report import MeasuredOn, Report
from learnd.messages.task import Problem


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
    """The held-out samples of a task, in the same order each time: was it classified correctly, before and after?

    scoped: among the task's own classes, by its own adapted state.  unified: among everything that is known.
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
class Surveyed:
    """How one task is classified among everything: "1" per image classified correctly, "0" per other image."""

    id: str
    measured_on: MeasuredOn
    correct: str


@dataclass(frozen=True)
class Near:
    """A task, and how far it is from another: a Bhattacharyya distance, 0 or more."""

    task: str
    distance: float


@dataclass(frozen=True)
class Twin:
    """A class that nearly coincides with the class other of a task.

    ratio: their squared distance by that of two halves of one class; about 1 if they are the same class.
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


PROBABILITY_DIGITS = 6  # of a probability that leaves a process


@dataclass(frozen=True)
class Guess:
    """One class an image may be of."""

    task: str
    class_name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer about one image: its best guesses, the best first; unknown: none of them is likely.

    error is set, and top empty, if the image could not be read.
    """

    image: str
    top: tuple[Guess, ...]
    unknown: bool = False
    error: str | None = None


class OutcomeStatus(StrEnum):
    """How a job ended."""

    DONE = "done"
    REJECTED = "rejected"  # the folder is to blame; `problems` says why
    CHANGED = "changed"  # the files are no longer those that were accepted
    DAMAGED = "damaged"  # a file of the state is, which a predict, survey or consolidate job reads
    DROPPED = "dropped"  # a survey was asked to make way
    FAILED = "failed"  # the task or every algorithm is to blame: final
    NO_ROOM = "no_room"  # the disk is full: the job waits for space
    BROKEN = "broken"  # memory ran out, or learnd has a defect: another worker tries again
    STOPPED = "stopped"  # a consolidation was asked to stop


@dataclass(frozen=True)
class Outcome:
    """What a worker says at the end of a job, in <out>/result.json.

    reason: of any status except DONE.  files: name -> sha256 of each file in out/.
    """

    status: OutcomeStatus
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    report: Report | None = None
    files: dict[str, str] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    surveyed: tuple[Surveyed, ...] = ()
    related: tuple[Related, ...] = ()
