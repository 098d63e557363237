"""Writing so that it survives a power cut: what is synced, and in which order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from learnd.control.files.durable import move_durably, write_durably


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the disk, in order: "sync NAME" and "rename NAME"."""
    done: list[str] = []
    sync, rename, replace = os.fsync, os.rename, os.replace

    def noted(how: Any) -> Any:
        def call(source: Path, target: Path) -> None:
            done.append(f"rename {Path(target).name}")
            how(source, target)

        return call

    def synced(descriptor: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", noted(rename))
    monkeypatch.setattr(os, "replace", noted(replace))
    return done


def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, steps: list[str]
) -> None:
    write_durably(tmp_path / "head", b"new")
    assert steps == ["sync .head.new", "rename head", f"sync {tmp_path.name}"]
    assert (tmp_path / "head").read_bytes() == b"new"


def test_a_write_that_fails_midway_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_durably(tmp_path / "head", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "head", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("head", b"old")]


def test_what_a_failed_write_left_is_no_obstacle_to_the_next(tmp_path: Path) -> None:
    (tmp_path / ".head.new").write_bytes(b"half of a longer thing")
    write_durably(tmp_path / "head", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("head", b"new")]


def test_a_folder_is_moved_only_when_all_of_it_is_on_the_disk(tmp_path: Path, steps: list[str]) -> None:
    source, target = tmp_path / "out", tmp_path / "tasks" / "cats" / "1"
    source.mkdir()
    (tmp_path / "tasks").mkdir()
    for name in ("b", "a"):
        (source / name).write_bytes(name.encode())
    move_durably(source, target)

    assert steps == ["sync a", "sync b", "sync out", "rename 1", "sync cats", "sync tasks"]
    assert sorted(path.name for path in target.iterdir()) == ["a", "b"]
    assert not source.exists()


def test_a_parent_that_was_there_needs_no_sync_of_its_own_parent(tmp_path: Path, steps: list[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "cats").mkdir()
    move_durably(tmp_path / "out", tmp_path / "cats" / "1")
    assert steps == ["sync out", "rename 1", "sync cats"]


def test_a_folder_never_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("out", "1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(OSError, match="not empty"):
        move_durably(tmp_path / "out", tmp_path / "1")
    assert (tmp_path / "1" / "file").read_text() == "1"
