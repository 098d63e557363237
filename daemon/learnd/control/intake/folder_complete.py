"""When is a folder ready?  Pure: it is given what a scan saw and the time, and remembers nothing.

Ready means: the marker is there; or it arrived by one rename; or two scans, quiet_seconds apart, saw the
same. A folder that grows waits, with the reason, and is never given up.
"""

from __future__ import annotations

from dataclasses import dataclass

from learnd.control.intake.folder_scan import Scan


@dataclass(frozen=True)
class Sighting:
    """What is remembered of a folder between scans.  since: when this fingerprint was first seen (s)."""

    fingerprint: str
    since: float
    grew: bool  # it had another fingerprint before


@dataclass(frozen=True)
class Ready:
    """Look into it now.  pronounce: a rejection counts; without it only an acceptance does.

    A directory that was moved in may still be filled by whoever moved it, so the fast way can accept a folder
    but not reject it: then it is looked at again when it is quiet.
    """

    pronounce: bool


@dataclass(frozen=True)
class Waiting:
    """Not yet; reason is for a person, until is when to scan again (monotonic seconds)."""

    reason: str
    until: float


def assess(
    previous: Sighting | None, scan: Scan, now: float, quiet_seconds: float, renamed: bool = False
) -> tuple[Sighting, Ready | Waiting]:
    """Whether a folder is ready.  renamed: it has just arrived by one rename (said once only)."""
    if previous is not None and previous.fingerprint == scan.fingerprint:
        sighting = previous
    else:
        sighting = Sighting(scan.fingerprint, now, grew=previous is not None)
    if scan.marker or now - sighting.since >= quiet_seconds:
        return sighting, Ready(pronounce=True)
    if renamed and not scan.unfinished:
        return sighting, Ready(pronounce=False)
    return sighting, Waiting(_reason(sighting, scan, now, quiet_seconds), sighting.since + quiet_seconds)


def _reason(sighting: Sighting, scan: Scan, now: float, quiet_seconds: float) -> str:
    unfinished = f", {scan.unfinished} of them unfinished" if scan.unfinished else ""
    files = sum(entry.kind != "folder" for entry in scan.entries)
    what = "still growing" if sighting.grew else "just seen"
    changed = f", changed {now - sighting.since:.1f} s ago" if sighting.grew else ""
    count = f"{files} file{'' if files == 1 else 's'}"
    return f"{what}: {count}{unfinished}{changed}; quiet for {quiet_seconds:g} s needed"
