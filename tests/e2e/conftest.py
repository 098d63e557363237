"""Real images that need no download, and a place to make folders before they are dropped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from learnd.ui.examples.bundled import write_example

MakeTask = Callable[..., Path]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handwritten digits 0 to 4, 12 images of each, and four of each held out beside them."""
    room = tmp_path_factory.mktemp("digits")
    write_example("digits-0-4", room / "task", room / "held-out")
    return room


@pytest.fixture
def make_task(digits: Path, tmp_path: Path) -> MakeTask:
    """make_task(name, first=0, shots=5): a folder outside the watched one, with `shots` images per class.

    Another `first` is another content.
    """

    def make(name: str, first: int = 0, shots: int = 5) -> Path:
        folder = tmp_path / "outside" / name
        for digit in sorted((digits / "task").iterdir()):
            (folder / digit.name).mkdir(parents=True)
            for image in sorted(digit.iterdir())[first : first + shots]:
                shutil.copy(image, folder / digit.name / image.name)
        return folder

    return make
