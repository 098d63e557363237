"""What is said about plugins: which there are, how they passed the conformance checks, and the events they receive."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What can happen, besides that a task reaches a new TaskState."""

    CHANGED = "changed"  # the files of a task, while it was learned
    CONSOLIDATED = "consolidated"
    CONSOLIDATION_FAILED = "consolidation failed"
    EVICTED = "evicted"  # kept images, to fit memory.max_bytes
    JOINED = "joined"  # classes of two tasks
    PARTED = "parted"
    PAUSED = "paused"
    RECOVERED = "recovered"  # jobs that an earlier daemon left
    REFUSED = "refused"  # a candidate network
    REQUEUED = "requeued"
    RESTORED = "restored"  # a task, by a rollback
    RESUMED = "resumed"
    RETRY = "retry"
    ROLLBACK = "rollback"
    STRIKE = "strike"  # against a plugin
    TAINTED = "tainted"  # a network, by a task that was forgotten
    UNDONE = "undone"  # a task, by a rollback
    VANISHED = "vanished"  # a folder


@dataclass(frozen=True)
class Event:
    """Something that happened.  at: Unix seconds; task: the name of the task it is about.

    kind: an EventKind or a TaskState, as text.  message: a sentence for a person.
    """

    at: float
    kind: str
    task: str | None
    message: str


class PluginState(StrEnum):
    """Whether a plugin is in use."""

    OK = "ok"
    QUARANTINED = "quarantined"  # it broke the contract, or a worker was lost to it
    DISABLED = "disabled"  # config.yaml says so


@dataclass(frozen=True)
class PluginInfo:
    """One loaded, or quarantined, algorithm or plugin.

    source: "built-in" | "entry point" | the path of a user's file.
    """

    name: str
    source: str
    state: PluginState
    reason: str = ""
    summary: str = ""
    options: dict[str, Any] = field(default_factory=dict)


class CheckOutcome(StrEnum):
    """How a check of the conformance kit ended."""

    PASSED = "passed"
    FAILED = "failed"
    SPARED = "spared"  # it does not apply to this algorithm


@dataclass(frozen=True)
class CheckResult:
    """One check of the conformance kit.

    promise: what was to be kept, a sentence.  seen and remedy say what went wrong and how to mend it; of a check that
    was spared, seen says why.
    """

    algorithm: str
    check: str
    promise: str
    outcome: CheckOutcome
    seen: str = ""
    remedy: str = ""
    seconds: float = 0.0
