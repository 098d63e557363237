"""What a budget leaves of kept images: as many of each class everywhere, those of the smallest sha256."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from learnd.control.files.image_archives import (
    ALL,
    UNLIMITED,
    Levels,
    Quota,
    archives_in,
    is_left_of,
    sizes_of,
    trim,
    vouch_for,
)
from learnd.errors import StateError
from learnd.messages.state_files import EXEMPLARS_FILE
from tests.control.archives import counted, packed


@pytest.fixture
def archives(tmp_path: Path) -> list[Path]:
    """Two tasks; one has held-outs."""
    found = []
    for number, (name, images) in enumerate(
        [("a/exemplars.zip", {"x": 6, "y": 2}), ("a/heldout.zip", {"x": 3}), ("b/exemplars.zip", {"z": 4})]
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(packed(images, seed=number))
        found.append(path)
    return found


def test_every_class_keeps_the_images_of_its_smallest_hashes(archives: list[Path]) -> None:
    with zipfile.ZipFile(archives[0]) as before:
        wanted = [f"x/{stem}" for stem in sorted(name[2:] for name in before.namelist() if name[0] == "x")[:3]]
    trim(archives[0], 3)
    assert counted(archives[0]) == {"x": 3, "y": 2}
    with zipfile.ZipFile(archives[0]) as after:
        assert [name for name in after.namelist() if name[0] == "x"] == wanted
    unchanged = archives[0].stat()
    trim(archives[0], 3)
    assert archives[0].stat() == unchanged
    vouch_for(archives[0], {"x": 3, "y": 2})


def test_held_out_images_go_last() -> None:
    steps = [(quota.exemplars, quota.held_out) for quota in Quota(3, 2).tighter()]
    assert steps == [(2, ALL), (1, ALL), (1, 1), (1, 0), (0, 0)]
    assert [(one.exemplars, one.held_out) for one in Quota(0, 1).tighter()] == [(0, 0)]


def levels(archives: list[Path]) -> Levels:
    found = Levels()
    for archive in archives:
        found.add(archive.name, sizes_of(archive))
    return found


def total(archives: list[Path]) -> int:
    return sum(archive.stat().st_size for archive in archives)


def test_the_largest_number_that_fits_is_found(archives: list[Path]) -> None:
    found, whole = levels(archives), total(archives)
    assert found.fitting(whole) == UNLIMITED
    assert found.fitting(whole - 1) == Quota(5, ALL)
    assert found.fitting(0) == Quota(0, 0)
    for archive in archives:
        trim(archive, Quota(5, ALL).of(archive.name))
    assert total(archives) == found.total(Quota(5, ALL))  # it was reckoned to the byte


def test_what_goes_leaves_room(archives: list[Path]) -> None:
    found, one = levels(archives), levels(archives[2:])
    for archive in archives[:2]:
        found.add(archive.name, sizes_of(archive), -1)
    assert found.total(Quota(9, 9)) == one.total(Quota(9, 9)) == total(archives[2:])


def test_the_archives_of_a_revision(archives: list[Path]) -> None:
    assert archives_in(archives[0].parent) == archives[:2]
    assert archives_in(archives[2].parent) == archives[2:]


def test_all_names_of_a_file_stay_names_of_one_file(archives: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "twin.zip"
    twin.hardlink_to(archives[0])
    (tmp_path / ".twin.zip.new").write_bytes(b"left by a kill")
    trim(archives[0], 2, [twin])
    assert twin.stat().st_ino == archives[0].stat().st_ino
    assert counted(twin) == {"x": 2, "y": 2}


def test_what_is_left_of_an_archive_is_known_again(archives: list[Path], tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    whole.write_bytes(archives[0].read_bytes())
    trim(archives[0], 3)
    assert is_left_of(archives[0], whole, 3)
    assert is_left_of(archives[0], archives[0], 3)
    assert not is_left_of(archives[0], whole, 4)
    assert not is_left_of(archives[2], whole, 3)


def test_the_order_of_evictions_leaves_no_trace(archives: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / EXEMPLARS_FILE
    twin.write_bytes(archives[0].read_bytes())
    trim(archives[0], 2)
    for most in (5, 4, 2):
        trim(twin, most)
    assert twin.read_bytes() == archives[0].read_bytes()


def test_an_image_that_is_not_what_its_name_says_is_named(tmp_path: Path) -> None:
    path = tmp_path / EXEMPLARS_FILE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/0123.png", b"anything")
    with pytest.raises(StateError, match=r"x/0123\.png is not the image that was kept"):
        vouch_for(path, {})


def test_an_image_of_no_class_is_named(tmp_path: Path) -> None:
    path, data = tmp_path / EXEMPLARS_FILE, b"anything"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{hashlib.sha256(data).hexdigest()}.png", data)
    with pytest.raises(StateError, match="is not the image that was kept"):
        vouch_for(path, {})


def test_what_is_missing_is_named_and_more_is_no_fault(archives: list[Path]) -> None:
    vouch_for(archives[0], {"x": 5})
    with pytest.raises(StateError, match="of 'y' 2 images are there, and 3 were kept"):
        vouch_for(archives[0], {"x": 6, "y": 3})


@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_a_damaged_archive_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / EXEMPLARS_FILE
    if content is not None:
        path.write_bytes(content)
    for look in (lambda path: vouch_for(path, {}), lambda path: trim(path, 1), sizes_of):
        with pytest.raises(StateError, match=r"exemplars\.zip: (is missing|cannot be read)"):
            look(path)


def test_a_flipped_bit_is_noticed(archives: list[Path]) -> None:
    data = bytearray(archives[0].read_bytes())
    data[100] ^= 1
    archives[0].write_bytes(data)
    with pytest.raises(StateError, match="exemplars"):
        vouch_for(archives[0], {})
