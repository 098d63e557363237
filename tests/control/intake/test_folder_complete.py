"""When a folder is ready: the marker, one rename, or quiet."""

from __future__ import annotations

from learnd.control.intake.folder_complete import Ready, Sighting, Waiting, assess
from learnd.control.intake.folder_scan import FileEntry, Kind, Scan

QUIET = 2.0


def scan(fingerprint: str, files: int = 14, marker: bool = False, unfinished: int = 0) -> Scan:
    entries = tuple(FileEntry(f"a/{number}.png", 1, 1, 1, Kind.FILE) for number in range(files))
    return Scan(entries, fingerprint, marker, files - unfinished, unfinished)


def reason(verdict: Ready | Waiting) -> str:
    assert isinstance(verdict, Waiting)
    return verdict.reason


def test_a_folder_is_ready_when_two_scans_far_enough_apart_saw_the_same() -> None:
    sighting, first = assess(None, scan("a"), now=100.0, quiet_seconds=QUIET)
    sighting, early = assess(sighting, scan("a"), now=101.9, quiet_seconds=QUIET)
    sighting, late = assess(sighting, scan("a"), now=102.0, quiet_seconds=QUIET)

    assert first == Waiting("just seen: 14 files; quiet for 2 s needed", until=102.0)
    assert isinstance(early, Waiting)
    assert late == Ready(pronounce=True)


def test_every_change_starts_the_wait_again_and_it_is_never_given_up() -> None:
    sighting: Sighting | None = None
    for second in range(1000):
        sighting, verdict = assess(sighting, scan(str(second)), now=float(second), quiet_seconds=QUIET)
        assert isinstance(verdict, Waiting)
        assert verdict.until == second + QUIET
    sighting, verdict = assess(sighting, scan("999"), now=1001.0, quiet_seconds=QUIET)
    assert verdict == Ready(pronounce=True)


def test_the_reason_is_one_that_a_person_understands() -> None:
    sighting, _ = assess(None, scan("a", files=3), now=0.0, quiet_seconds=QUIET)
    sighting, _ = assess(sighting, scan("b", files=14, unfinished=1), now=1.0, quiet_seconds=QUIET)
    _, verdict = assess(sighting, scan("b", files=14, unfinished=1), now=1.4, quiet_seconds=QUIET)

    expected = "still growing: 14 files, 1 of them unfinished, changed 0.4 s ago; quiet for 2 s needed"
    assert reason(verdict) == expected


def test_the_marker_makes_it_ready_at_once() -> None:
    _, verdict = assess(None, scan("a", marker=True), now=0.0, quiet_seconds=QUIET)
    assert verdict == Ready(pronounce=True)


def test_one_rename_makes_it_ready_at_once_but_it_may_not_be_rejected_before_it_is_quiet() -> None:
    sighting, arrived = assess(None, scan("a"), now=0.0, quiet_seconds=QUIET, renamed=True)
    sighting, then = assess(sighting, scan("a"), now=0.5, quiet_seconds=QUIET)
    sighting, quiet = assess(sighting, scan("a"), now=2.0, quiet_seconds=QUIET)

    assert arrived == Ready(pronounce=False)
    assert isinstance(then, Waiting)
    assert quiet == Ready(pronounce=True)


def test_a_rename_counts_although_a_scan_came_before_the_news_of_it() -> None:
    sighting, _ = assess(None, scan("a"), now=0.0, quiet_seconds=QUIET)
    _, verdict = assess(sighting, scan("a"), now=0.01, quiet_seconds=QUIET, renamed=True)
    assert verdict == Ready(pronounce=False)


def test_a_renamed_folder_with_an_unfinished_copy_in_it_waits() -> None:
    _, verdict = assess(None, scan("a", unfinished=1), now=0.0, quiet_seconds=QUIET, renamed=True)
    assert "1 of them unfinished" in reason(verdict)
