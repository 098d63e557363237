"""The examples are real task folders, whole from the moment they are seen, and never put over anything."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from learnd.errors import LearndError, UsageError
from learnd.ui.examples.bundled import EXAMPLES, write_example
from learnd.ui.examples.downloadable import COLLECTIONS

OFFLINE = [name for name in EXAMPLES if name not in COLLECTIONS]


def contents(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*/*.png")}


@pytest.mark.parametrize("name", OFFLINE)
def test_an_example_is_a_task_folder_of_twelve_images_a_class(name: str, tmp_path: Path) -> None:
    written = write_example(name, tmp_path / name)

    classes = sorted(path.name for path in (tmp_path / name).iterdir())
    assert len(classes) >= 2
    for class_name in classes:
        images = list((tmp_path / name / class_name).iterdir())
        assert len(images) == 12
        for path in images:
            with Image.open(path) as image:
                assert min(image.size) >= 32
    assert written == 12 * len(classes) == len(contents(tmp_path / name))  # and no image is there twice


@pytest.mark.parametrize("name", OFFLINE)
def test_what_is_held_out_is_of_the_same_classes_and_not_in_the_task(name: str, tmp_path: Path) -> None:
    task, held_out = tmp_path / "tasks" / name, tmp_path / "held-out" / name

    write_example(name, task, held_out)

    assert {path.name for path in task.iterdir()} == {path.name for path in held_out.iterdir()}
    assert contents(held_out)
    assert not contents(task) & contents(held_out)


def test_digits_are_dark_ink_on_white_paper(tmp_path: Path) -> None:
    write_example("digits-0-4", tmp_path / "digits")

    with Image.open(tmp_path / "digits" / "3" / "01.png") as image:
        darkest, lightest = image.getextrema()
        assert (image.mode, image.size, image.getpixel((0, 0))) == ("L", (32, 32), 255)
        assert isinstance(darkest, int)
        assert darkest < 64
        assert lightest == 255


def test_the_same_example_is_the_same_to_the_byte(tmp_path: Path) -> None:
    write_example("photos", tmp_path / "one")
    write_example("photos", tmp_path / "two")

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("taken", ["task", "held-out"])
def test_nothing_is_written_where_something_lies_already(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).mkdir()

    with pytest.raises(LearndError, match="something is here"):
        write_example("digits-0-4", tmp_path / "task", tmp_path / "held-out")

    assert [path.name for path in tmp_path.iterdir()] == [taken]


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no example 'cats'\n.*digits-5-9, eurosat, omniglot, photos"):
        write_example("cats", tmp_path / "cats")


def test_a_failure_midway_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, saved = Image.Image.save, 0

    def save_some(image: Image.Image, path: Path) -> None:
        nonlocal saved
        saved += 1
        if saved > 30:
            raise OSError(28, "No space left on device")
        save(image, path)

    monkeypatch.setattr(Image.Image, "save", save_some)
    with pytest.raises(OSError, match="No space left"):
        write_example("digits-0-4", tmp_path / "task", tmp_path / "held-out")

    assert list(tmp_path.iterdir()) == []


def test_without_scikit_learn_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "__import__", _without("sklearn", builtins.__import__))

    with pytest.raises(LearndError, match="pip install scikit-learn"):
        write_example("digits-0-4", tmp_path / "task")


def _without(package: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def importer(name: str, *arguments: Any, **named: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {package!r}")
        return real(name, *arguments, **named)

    return importer
