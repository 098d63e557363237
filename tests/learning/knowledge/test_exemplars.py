"""Exemplars depend on the images alone: which, and every byte of the archive."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from learnd.identity import leaf_of
from learnd.learning.knowledge.exemplars import EXEMPLAR_SIDE, Labelled, choose, write
from tests.learning.drawn import stripes_task


def labelled(folder: Path) -> list[Labelled]:
    return [Labelled(path, path.parent.name, leaf_of(path.read_bytes())) for path in sorted(folder.rglob("*.*"))]


def test_the_smallest_hashes_of_each_class_are_chosen(tmp_path: Path) -> None:
    files = labelled(stripes_task(tmp_path))
    chosen = choose(files, per_class=2)
    assert [file.class_name for file in chosen] == ["at 0", "at 0", "at 120", "at 120", "at 60", "at 60"]
    for name in ("at 0", "at 120", "at 60"):
        hashes = sorted(file.sha256 for file in files if file.class_name == name)
        assert [file.sha256 for file in chosen if file.class_name == name] == hashes[:2]
    assert choose(files[::-1], per_class=2) == chosen


def test_copies_take_no_place_of_another_image(tmp_path: Path) -> None:
    files = labelled(stripes_task(tmp_path))
    first = choose(files, per_class=1)[0]
    copy = Labelled(first.path.with_name("copy.png"), first.class_name, first.sha256)
    assert choose([*files, copy], per_class=2) in (choose(files, per_class=2), choose([*files[1:], copy], per_class=2))
    assert len(choose([*files, copy], per_class=2)) == 6


def test_the_archive_holds_the_original_bytes_under_their_own_hash(tmp_path: Path) -> None:
    files = choose(labelled(stripes_task(tmp_path / "task")), per_class=3)
    write(files, tmp_path / "e.zip")
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        names = [f"{file.class_name}/{hashlib.sha256(file.path.read_bytes()).hexdigest()}.png" for file in files]
        assert archive.namelist() == names
        for name, file in zip(names, files, strict=True):
            assert archive.read(name) == file.path.read_bytes()


def test_copies_of_an_image_within_a_class_are_kept_once(tmp_path: Path) -> None:
    folder = stripes_task(tmp_path / "task")
    first = sorted(folder.rglob("*.png"))[0]
    (first.parent / "copy.PNG").write_bytes(first.read_bytes())
    write(labelled(folder), tmp_path / "e.zip")
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        assert len(archive.namelist()) == len(set(archive.namelist())) == len(labelled(folder)) - 1


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = stripes_task(tmp_path / name)
        for path in folder.rglob("*.png"):
            os.utime(path, (1, 1) if name == "one" else None)
        write(choose(labelled(folder), 3), tmp_path / f"{name}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_large_image_is_kept_shrunk(tmp_path: Path) -> None:
    path = tmp_path / "large" / "photo.jpg"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    write(labelled(tmp_path), tmp_path / "e.zip")
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        (name,) = archive.namelist()
        assert name == f"large/{hashlib.sha256(archive.read(name)).hexdigest()}.png"
        with Image.open(io.BytesIO(archive.read(name))) as kept:
            assert kept.size == (EXEMPLAR_SIDE, 171)


def test_a_file_that_changed_since_is_refused(tmp_path: Path) -> None:
    files = labelled(stripes_task(tmp_path / "task"))
    files[0].path.write_bytes(files[1].path.read_bytes())
    with pytest.raises(FileNotFoundError, match="no longer the file"):
        write(files, tmp_path / "e.zip")
