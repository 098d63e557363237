"""Collections that torchvision fetches: those that lie there already are used, what cannot be had is said."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from learnd.control.intake.inspection import inspect
from learnd.settings.keys import IntakeSettings
from learnd.ui.examples import downloadable
from tests.data import requires_data, unpacked
from tests.ui.conftest import Command


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As torchvision leaves them."""
    for name, folder in (("omniglot", "images_evaluation/"), ("eurosat", "")):
        place = tmp_path / "root" / downloadable.COLLECTIONS[name].folder
        place.parent.mkdir(parents=True)
        place.symlink_to(unpacked(name, folder))
    return tmp_path / "root"


@requires_data("omniglot", "eurosat")
@pytest.mark.parametrize(
    ("name", "called", "classes"),
    [("omniglot/Tibetan", "omniglot-Tibetan", 10), ("omniglot", "omniglot", 10), ("eurosat", "eurosat", 10)],
)
def test_one_that_is_there_becomes_a_task_that_can_be_learnt(
    name: str, called: str, classes: int, root: Path, learnd: Command, home: Path
) -> None:
    data = learnd("examples", name, "tasks", "--root", root, "--held-out", "new", "--json").json
    assert data["folder"] == f"tasks/{called}"
    inspection = inspect(home / "tasks" / called, IntakeSettings())
    assert inspection.accepted
    assert len({file.class_name for file in inspection.files}) == classes
    assert len(list((home / "new" / called).rglob("*.png"))) == 4 * classes


@requires_data("omniglot", "eurosat")
def test_a_group_that_is_not_there_is_guessed(root: Path, learnd: Command, home: Path) -> None:
    said = learnd("examples", "omniglot/Tibetian", "tasks", "--root", root)
    assert said.code != 0
    assert "did you mean 'Tibetan'?" in said.err
    assert not (home / "tasks").exists() or not list((home / "tasks").iterdir())


def test_what_cannot_be_fetched_is_an_error_that_says_what_to_do(
    learnd: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def offline(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, stderr="0%\nURLError: <no network>\n")

    monkeypatch.setattr(downloadable.subprocess, "run", offline)
    said = learnd("examples", "eurosat", "tasks", "--root", "there")
    assert said.code != 0
    assert "eurosat cannot be fetched (URLError: <no network>)" in said.err
    assert "--root DIR with DIR/eurosat/2750" in said.err
    assert asked[0][1:] == ["-m", "learnd.learning.processes.fetch_collection", "eurosat", "there"]


def test_an_empty_collection_is_an_error(learnd: Command, home: Path) -> None:
    (home / "there" / "eurosat" / "2750").mkdir(parents=True)
    said = learnd("examples", "eurosat", "tasks", "--root", "there")
    assert "there are no two classes of 16 images each" in said.err
