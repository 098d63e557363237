"""What is said about plugins: which there are, how they passed the conformance checks, and the events they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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


@dataclass(frozen=True)
class CheckResult:
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
