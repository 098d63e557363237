"""The history of the knowledge in values: what a version holds, and what leads from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from learnd.control.journal.class_joins import Alias
from learnd.errors import LearndError

LEARNED = "learned "  # so begins the reason of a generation that came of a task's own job


class StaleEpoch(LearndError):
    """The job was cancelled or leased again meanwhile; this result must not be used."""


@dataclass(frozen=True)
class Generation:
    """What a commit adds: its number is its parent's plus one; manifest is the sha256 of its manifest.json."""

    number: int
    epoch: int
    parent: int
    manifest: str


@dataclass(frozen=True)
class Held:
    """A learnt revision that a version holds; bytes of its files.  accuracy: as measured when it was learnt."""

    id: str
    revision: int
    name: str
    classes: int
    bytes: int
    accuracy: float | None = None

    @property
    def folder(self) -> str:
        """Below state/tasks."""
        return f"{self.id}/{self.revision}"


@dataclass(frozen=True)
class Step:
    """What a generation changes: the revisions that enter the knowledge, and those that leave it.

    made, ended: the aliases, which people asked for, that begin and end with it.
    """

    entering: tuple[Held, ...] = ()
    leaving: tuple[Held, ...] = ()
    made: tuple[Alias, ...] = ()
    ended: tuple[Alias, ...] = ()

    def __bool__(self) -> bool:
        return any((self.entering, self.leaving, self.made, self.ended))


@dataclass(frozen=True)
class BackboneRecord:
    """A network that knowledge stands on.  sha256: of its file.  learners: ids of the tasks whose images trained it."""

    hash: str
    sha256: str
    learners: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """A verdict on a candidate network.  version: what it became, None: refused.  verdict: plain JSON.

    before, after: the hashes of the network that was there, and of the candidate.
    """

    parent: int
    version: int | None
    before: str
    after: str
    verdict: dict[str, Any]
    at: float = 0.0  # Unix seconds; set by the journal


@dataclass(frozen=True)
class Version:
    """A kept generation, its step, and what it holds in all: without those tasks that were forgotten since."""

    number: int
    created: float  # Unix seconds
    reason: str
    step: Step
    without: tuple[str, ...]
    tasks: int
    classes: int
    bytes: int
