"""The fingerprint of the plugins folder is another one whenever, and only when, there is something to load again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from learnd.plugin_files import META, UNFINISHED, fingerprint, is_meta, is_plugin


def replaced(path: Path, text: str) -> None:
    """By temp-and-rename, with the dates of the old one."""
    status = path.stat()
    fresh = path.with_name(".tmp")
    fresh.write_text(text)
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.rename(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "another": lambda folder: (folder / "other.py").touch(),
    "removed": lambda folder: (folder / "mine.py").unlink(),
    "renamed": lambda folder: (folder / "mine.py").rename(folder / "yours.py"),
    "grown": lambda folder: (folder / "mine.py").write_text("0 # and more"),
    "touched": lambda folder: os.utime(folder / "mine.py", ns=(7, 7)),
    "replaced": lambda folder: replaced(folder / "mine.py", "1"),
    "a link that leads nowhere": lambda folder: (folder / "lost.py").symlink_to("nowhere"),
    "a meta checkpoint": lambda folder: (folder / META / "maml.safetensors").touch(),
}
NO_CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "a hidden file": lambda folder: (folder / ".mine.py.swp").touch(),
    "its test": lambda folder: (folder / "test_mine.py").touch(),
    "a helper": lambda folder: (folder / "_helper.py").touch(),
    "bytecode": lambda folder: (folder / "__pycache__").mkdir(),
    "a training under way": lambda folder: (folder / META / f"maml{UNFINISHED}").touch(),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / META).mkdir()
    (tmp_path / "mine.py").write_text("0")
    return tmp_path


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_counts_is_seen(folder: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(folder)
    change(folder)
    assert fingerprint(folder) != before


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_of_anything_else_there_is_no_word(folder: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(folder)
    change(folder)
    assert fingerprint(folder) == before


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "nowhere") == fingerprint(tmp_path)
    assert fingerprint(tmp_path / "nowhere" / "neither") == fingerprint(tmp_path)


def test_which_names_count() -> None:
    names = ("a.py", "_a.py", ".a.py", "test_a.py", "conftest.py", "a.pyc", "a")
    assert [name for name in names if is_plugin(name)] == ["a.py"]
    names = ("a.safetensors", f"a{UNFINISHED}", ".a.safetensors", "a.npz")
    assert [name for name in names if is_meta(name)] == ["a.safetensors"]
