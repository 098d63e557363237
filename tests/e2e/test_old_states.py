"""A state that an earlier version made opens, and every answer is the same to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from learnd.learning.networks.backbone import export, load_backbone
from learnd.messages.jobs import BackboneSpec

HERE = Path(__file__).parents[1] / "fixtures" / "old_states"
STATES = sorted(folder.name for folder in (HERE / "expected").iterdir())
SHIPPED = ("conv4", "lite0-meta")  # their networks come with learnd, and are not in the archive


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each state, and the images to ask about in `questions`."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(HERE / "states.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    for name in SHIPPED:
        backbone = load_backbone(BackboneSpec(name))
        file = folder / name / "state" / "backbones" / f"{backbone.hash}.safetensors"
        export(backbone, file)
        content, header = file.read_bytes(), file.with_suffix(".header").read_bytes()  # with its keys in the old order
        file.write_bytes(header + content[len(header) :])
    return folder


def printed(home: Path, state: str, command: str) -> bytes:
    """The output of a command, named as its file in expected/ is: show-high-json is `learnd show high --json`."""
    words = command.removesuffix("-json").split("-")
    as_json = command.endswith("-json")
    if words == ["predict"]:
        words += [os.path.join("..", "questions"), *([] if as_json else ["--top", "5"])]
    learnd = [sys.executable, "-m", "learnd", *words, *(["--json"] if as_json else [])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEARND_")}
    environment |= {"TZ": "UTC", "COLUMNS": "200", "NO_COLOR": "1", "LEARND_STATE": "state", "LEARND_TASKS": "tasks"}
    done = subprocess.run(learnd, cwd=home / state, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize("state", STATES)
def test_an_old_state_answers_as_it_did(home: Path, state: str) -> None:
    expected = {file.stem: file.read_bytes() for file in sorted((HERE / "expected" / state).iterdir())}
    assert {"predict", "show", "history", "versions"} <= {command.split("-")[0] for command in expected}
    answered = {command: printed(home, state, command) for command in expected}
    assert answered == expected
