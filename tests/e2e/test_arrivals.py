"""However a folder arrives, it is learned once, and whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learnd.messages.task import TaskState
from tests.e2e.conftest import MakeTask
from tests.live import LiveDaemon

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
QUIET = 0.6


@pytest.fixture(scope="module", params=["inotify", "polling"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """One daemon for all tests of this module, so every test uses names and contents of its own."""
    settings = {
        "watch__backend": request.param,
        "watch__quiet_seconds": str(QUIET),
        "watch__poll_seconds": "0.2",
        "watch__rescan_seconds": "1",
        "routing__budget_seconds": "1",  # so that no fine-tuning keeps the worker busy
    }
    with LiveDaemon(tmp_path_factory.mktemp("home"), "conv4", **settings) as live:
        live.start_warm()
        assert live.json("status")["watching"]["backend"] == request.param
        yield live


def only_revision(daemon: LiveDaemon, name: str) -> None:
    assert [(row.revision, row.state) for row in daemon.rows() if row.name == name] == [(1, TaskState.LEARNED)]


def test_a_folder_that_was_moved_in(daemon: LiveDaemon, make_task: MakeTask) -> None:
    subprocess.run(["mv", make_task("moved", 0, 4), daemon.tasks], check=True)
    assert daemon.wait_state("moved", TaskState.LEARNED).images == 20
    only_revision(daemon, "moved")


def test_a_folder_that_was_copied_in(daemon: LiveDaemon, make_task: MakeTask) -> None:
    subprocess.run(["cp", "-r", make_task("copied", 1, 4), daemon.tasks], check=True)
    assert daemon.wait_state("copied", TaskState.LEARNED).images == 20
    only_revision(daemon, "copied")


def test_a_folder_that_is_written_slowly_waits_and_says_why(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("slow", 2, 4)
    files = sorted(path for path in source.rglob("*.png"))
    for file in files:
        target = daemon.tasks / "slow" / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        assert not [row for row in daemon.rows() if row.name == "slow" and row.state != TaskState.WAITING]
        time.sleep(QUIET / 4)
    waiting = daemon.wait_state("slow", TaskState.WAITING)
    assert "quiet for 0.6 s needed" in waiting.reason
    assert daemon.wait_state("slow", TaskState.LEARNED).images == len(files)
    only_revision(daemon, "slow")


def test_files_that_are_written_under_another_name_first(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("renamed", 3, 4)
    for file in sorted(source.rglob("*.png")):
        target = daemon.tasks / "renamed" / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".png.part")
        shutil.copy(file, part)
        os.rename(part, target)
    assert daemon.wait_state("renamed", TaskState.LEARNED).images == 20
    only_revision(daemon, "renamed")


def test_a_folder_that_is_made_under_another_name_first(daemon: LiveDaemon, make_task: MakeTask) -> None:
    shutil.copytree(make_task("late-name", 4, 4), daemon.tasks / ".late-name.partial")
    os.rename(daemon.tasks / ".late-name.partial", daemon.tasks / "late-name")
    assert daemon.wait_state("late-name", TaskState.LEARNED).images == 20


def test_a_marker_says_that_it_is_complete(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("marked", 5, 4)
    (source / ".ready").touch()
    shutil.copytree(source, daemon.tasks / "marked")
    assert daemon.wait_state("marked", TaskState.LEARNED).images == 20


def test_a_folder_that_is_deleted_midway_leaves_nothing_behind(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("gone", 6, 4)
    (daemon.tasks / "gone" / "0").mkdir(parents=True)
    shutil.copy(next(source.rglob("*.png")), daemon.tasks / "gone" / "0")
    daemon.wait_state("gone", TaskState.WAITING)
    shutil.rmtree(daemon.tasks / "gone")
    daemon.wait("gone is forgotten", lambda: "gone" not in {row.name for row in daemon.rows()})
    events = daemon.json("show", "moved")  # and the daemon is well
    assert events


def test_a_file_that_is_added_late_makes_a_new_revision(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("grown", 7, 3)
    subprocess.run(["mv", source, daemon.tasks], check=True)
    daemon.wait_state("grown", TaskState.LEARNED)
    extra = next(make_task("extra", 10, 1).rglob("*.png"))
    shutil.copy(extra, daemon.tasks / "grown" / "0" / "late.png")
    assert daemon.wait_state("grown", TaskState.LEARNED, revision=2).images == 16
    assert [row.state for row in daemon.rows() if row.name == "grown"] == [TaskState.LEARNED] * 2


def test_the_same_content_under_another_name_is_a_duplicate(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("original", 8, 4)
    shutil.copytree(source, source.with_name("again"))
    subprocess.run(["mv", source, daemon.tasks], check=True)
    daemon.wait_state("original", TaskState.LEARNED)
    subprocess.run(["mv", source.with_name("again"), daemon.tasks], check=True)
    assert "original" in daemon.wait_state("again", TaskState.DUPLICATE).reason


def test_touching_a_learned_folder_changes_nothing(daemon: LiveDaemon, make_task: MakeTask) -> None:
    subprocess.run(["mv", make_task("touched", 1, 3), daemon.tasks], check=True)
    before = daemon.wait_state("touched", TaskState.LEARNED)
    for file in (daemon.tasks / "touched").rglob("*.png"):
        os.utime(file)

    def seen() -> bool:
        rows = [row for row in daemon.rows() if row.name == "touched"]
        return len(rows) == 1 and rows[0].fingerprint != before.fingerprint

    daemon.wait("the touch is seen", seen)
    only_revision(daemon, "touched")


def test_a_mended_folder_is_learned_without_being_asked(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("mended", 2, 3)
    broken = next(source.rglob("*.png"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    subprocess.run(["mv", source, daemon.tasks], check=True)
    row = daemon.wait_state("mended", TaskState.REJECTED)
    assert [problem.where for problem in row.problems] == [str(broken.relative_to(source))]
    (daemon.tasks / "mended" / broken.relative_to(source)).write_bytes(whole)
    daemon.wait_state("mended", TaskState.LEARNED)


def test_the_users_folder_is_left_as_it_was(daemon: LiveDaemon, make_task: MakeTask) -> None:
    source = make_task("untouched", 3, 3)
    before = {path.relative_to(source): path.stat().st_mtime_ns for path in source.rglob("*")}
    subprocess.run(["mv", source, daemon.tasks], check=True)
    daemon.wait_state("untouched", TaskState.LEARNED)
    kept = daemon.tasks / "untouched"
    assert {path.relative_to(kept): path.stat().st_mtime_ns for path in kept.rglob("*")} == before


def test_every_folder_so_far_can_be_asked_about(daemon: LiveDaemon, digits: Path) -> None:
    images = sorted((digits / "held-out").rglob("*.png"))
    found = daemon.json("predict", "--task", "moved", *images)["predictions"]
    right = [prediction["class"] == Path(prediction["image"]).parent.name for prediction in found]
    assert sum(right) / len(right) > 0.7
