"""A scan says what lies in a folder, by stat alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from learnd.control.intake.folder_scan import Kind, Scan, is_ignored, scan, task_folders
from tests.broken import draw, good_task, link_loop, link_outside, link_to_a_class
from tests.control.rights import Unprivileged


def seen(folder: Path) -> Scan:
    found = scan(folder)
    assert found is not None
    return found


def kinds(folder: Path) -> dict[str, Kind]:
    return {entry.path: entry.kind for entry in seen(folder).entries}


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX", "a.part", "a.png.tmp", ".git"],
)
def test_litter_and_unfinished_files_are_ignored(name: str) -> None:
    assert is_ignored(name)
    assert not is_ignored("a.png")


def test_litter_changes_nothing(tmp_path: Path) -> None:
    task = good_task(tmp_path / "task")
    before = seen(task)

    (task / "circles" / ".DS_Store").write_bytes(b"x")
    (task / "Thumbs.db").write_bytes(b"x")
    draw(task / "@eaDir" / "thumb.png", seed=1)

    assert seen(task) == before
    assert before.images == 8


@pytest.mark.parametrize("change", ["grows", "is touched", "is replaced", "appears", "goes", "is copied"])
def test_every_change_of_a_file_changes_the_fingerprint(change: str, tmp_path: Path) -> None:
    task = good_task(tmp_path / "task")
    before = seen(task).fingerprint
    image = task / "circles" / "0.png"
    status = image.stat()
    match change:
        case "grows":
            image.write_bytes(image.read_bytes() + b"x")
            os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "is touched":
            os.utime(image, ns=(0, 0))
        case "is replaced":
            shutil.copy2(image, task / "circles" / "other.tmp")
            (task / "circles" / "other.tmp").rename(image)
        case "appears":
            draw(task / "circles" / "late.png", seed=9)
        case "goes":
            image.unlink()
        case "is copied":
            (task / "circles" / "big.png.part").write_bytes(b"x")

    assert seen(task).fingerprint != before


def test_growth_of_an_unfinished_file_is_seen_though_it_is_never_learnt(tmp_path: Path) -> None:
    task = good_task(tmp_path / "task")
    part = task / "squares.part" / "0.png"
    draw(part, seed=3)
    before = seen(task)

    part.write_bytes(part.read_bytes() + b"x")

    assert before.unfinished == 2
    assert before.images == 8
    assert seen(task).fingerprint != before.fingerprint


def test_the_marker_is_seen_and_is_no_part_of_the_content(tmp_path: Path) -> None:
    task = good_task(tmp_path / "task")
    before = seen(task)

    (task / ".ready").touch()

    assert not before.marker
    assert seen(task).marker
    assert seen(task).fingerprint == before.fingerprint


def test_links_are_told_apart_and_links_to_folders_not_followed(tmp_path: Path) -> None:
    for number, maker in enumerate((link_outside, link_loop, link_to_a_class)):
        maker(tmp_path / str(number))
    good_task(tmp_path / "3")
    (tmp_path / "3" / "circles" / "again.png").symlink_to(tmp_path / "3" / "squares" / "0.png")

    assert kinds(tmp_path / "0")["circles/link.png"] is Kind.LINK_OUTSIDE
    assert kinds(tmp_path / "1")["circles/link.png"] is Kind.LINK_LOOP
    assert kinds(tmp_path / "2")["rounds"] is Kind.LINK_FOLDER
    assert not any(path.startswith("rounds/") for path in kinds(tmp_path / "2"))
    assert kinds(tmp_path / "3")["circles/again.png"] is Kind.FILE


def test_a_folder_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert scan(tmp_path / "gone") is None
    (tmp_path / "file").touch()
    assert scan(tmp_path / "file") is None


def test_a_folder_that_vanishes_midway_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = good_task(tmp_path / "task")
    real = os.scandir

    def vanishing(path: str) -> object:
        if path.rstrip("/").endswith("squares"):
            os.rename(path, tmp_path / "away")
        return real(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert {path.split("/")[0] for path in kinds(task) if "/" in path} == {"circles"}


def test_what_may_not_be_read_is_said(unprivileged: Unprivileged) -> None:
    task = good_task(unprivileged.place / "task")
    (task / "circles").chmod(0)

    with unprivileged:
        assert ("circles", Kind.UNREADABLE) in [(entry.path, entry.kind) for entry in seen(task).entries]


def test_tasks_are_folders_and_links_to_folders(tmp_path: Path) -> None:
    root = tmp_path / "tasks"
    for name in ("birds", "cells.part", ".hidden", "cats.tmp"):
        (root / name).mkdir(parents=True)
    (root / "linked").symlink_to(good_task(tmp_path / "elsewhere"))
    (root / "round").symlink_to("round")
    for name in ("README.md", "photo.png", "archive.zip.part"):
        (root / name).touch()

    assert task_folders(root) == ("birds", "linked")
    assert seen(root / "linked").images == 8
