"""Which kept images may be learnt from and which judge depends on the images alone."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from learnd.errors import StateError
from learnd.learning.knowledge.kept_images import Kept, divide, kept_images
from learnd.messages.state_files import EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE


def kept(name: str, count: int, held_out: bool = False, first: int = 0) -> list[Kept]:
    return [Kept(name, f"{number:02d}", b"", held_out) for number in range(first, first + count)]


def test_every_fourth_of_a_class_judges_where_nothing_was_set_apart() -> None:
    remembered, judged = divide(kept("a", 9) + kept("b", 3))
    assert [one.sha256 for one in judged] == ["03", "07"]
    assert len(remembered) == 10


def test_the_order_in_which_they_come_changes_nothing() -> None:
    images = kept("a", 8) + kept("b", 8)
    assert divide(images) == divide(images[::-1])


def test_held_outs_judge_alone() -> None:
    apart = kept("a", 2, held_out=True, first=8)
    remembered, judged = divide(kept("a", 8) + apart)
    assert (len(remembered), list(judged)) == (8, apart)


def test_a_copy_of_what_is_learnt_from_judges_nothing() -> None:
    copies, apart = kept("a", 2, held_out=True), kept("a", 1, held_out=True, first=8)
    assert list(divide(kept("a", 8) + copies + apart)[1]) == apart
    assert [one.sha256 for one in divide(kept("a", 8) + copies)[1]] == ["03", "07"]


def test_what_lies_in_the_archives_is_found_by_class_and_content(tmp_path: Path) -> None:
    for name in (EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(f"a/{hashlib.sha256(name.encode()).hexdigest()}.png", name)
    found = kept_images(tmp_path)
    assert sorted((one.class_name, one.data, one.held_out) for one in found) == [
        ("a", b"exemplars.zip", False),
        ("a", b"heldout.zip", True),
    ]


def test_an_image_that_is_not_what_its_name_says_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / EXEMPLARS_FILE, "w") as archive:
        archive.writestr("a/0123.png", b"another")
    with pytest.raises(StateError, match=r"exemplars\.zip: a/0123\.png is not the image that was kept"):
        kept_images(tmp_path)


def test_a_damaged_archive_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / EXEMPLARS_FILE).write_bytes(b"no zip")
    with pytest.raises(StateError, match=r"exemplars\.zip"):
        kept_images(tmp_path)
