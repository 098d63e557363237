"""Folders that could not be checked, for no fault of their own (no memory left): how often, and when to try again.

Counted for each content, as a scan fingerprints it: a folder that has changed starts again.
"""

from __future__ import annotations

from dataclasses import dataclass

TRIES = 4  # of one content; between them 10, 20 and 40 s
FIRST_PAUSE = 10.0  # seconds


@dataclass(frozen=True)
class _Failures:
    fingerprint: str
    count: int
    until: float  # monotonic seconds


class Retries:
    """What is remembered of each folder by its name.  now: monotonic seconds."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def failed(self, name: str, fingerprint: str, now: float) -> float | None:
        """Note that a folder could not be checked.  Returns the seconds to wait; None: that was its last try."""
        before = self._failures.get(name)
        count = before.count + 1 if before is not None and before.fingerprint == fingerprint else 1
        if count >= TRIES:
            self.forget(name)
            return None
        pause = FIRST_PAUSE * 2.0 ** (count - 1)
        self._failures[name] = _Failures(fingerprint, count, now + pause)
        return pause

    def held_until(self, name: str, fingerprint: str, now: float) -> float | None:
        """When this content may be tried again, where that is still to come."""
        failures = self._failures.get(name)
        if failures is None or failures.fingerprint != fingerprint or failures.until <= now:
            return None
        return failures.until

    def forget(self, name: str) -> None:
        self._failures.pop(name, None)
