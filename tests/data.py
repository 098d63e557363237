"""Real images for the tests, from the folder that LEARND_DATA names (default: ../shared/data).

The archives are large, so none is in the repository.  A test that needs one is marked
``@requires_data("omniglot")`` and is left out, with the reason, where it is absent.  Only the wanted part of
an archive is unpacked, once a session.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

ARCHIVES = {
    "omniglot": "omniglot/images_evaluation.zip",  # 20 alphabets, 20 drawings of each of 659 characters
    "eurosat": "eurosat/images.zip",  # 10 kinds of land from space, 150 images each
    "chula-rbc": "chula-rbc/images.zip",  # 12 kinds of red blood cell, 100 crops each
    "cifar-fs": "cifar-fs/test.zip",  # 20 classes of CIFAR-100, 600 images each
}


def data_folder() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("LEARND_DATA") or beside)


def missing_reason(name: str) -> str | None:
    """Why tests on this data set are left out; None where it is there."""
    archive = data_folder() / ARCHIVES[name]
    return None if archive.is_file() else f"{name} is missing: LEARND_DATA has no {ARCHIVES[name]}"


def requires_data(*names: str) -> pytest.MarkDecorator:
    """Leave the test out, and say why, unless every named data set is there."""
    reasons = [reason for name in names if (reason := missing_reason(name))]
    return pytest.mark.skipif(bool(reasons), reason="; ".join(reasons) or "its data is there")


def omniglot_task(dest: Path, alphabet: str, ways: int, shots: int) -> list[Path]:
    """Copy an alphabet's first ``ways`` characters, ``shots`` drawings each, to the task folder ``dest``.

    Returns the drawings of those characters that are not in it, ordered; the folder names the class.
    """
    return _task(dest, unpacked("omniglot", f"images_evaluation/{alphabet}/"), ways, shots)


def class_task(dest: Path, name: str, ways: int, shots: int) -> list[Path]:
    """The same for "eurosat", "chula-rbc" and "cifar-fs": the first ``ways`` classes of the archive."""
    return _task(dest, unpacked(name), ways, shots)


def alphabets() -> list[str]:
    """The names of Omniglot's evaluation alphabets."""
    with zipfile.ZipFile(data_folder() / ARCHIVES["omniglot"]) as archive:
        return sorted({entry.split("/")[1] for entry in archive.namelist() if entry.endswith(".png")})


@cache
def unpacked(name: str, prefix: str = "") -> Path:
    """The part of the archive under ``prefix``, unpacked: a folder of class folders.  Only to be read."""
    room = _room() / name
    with zipfile.ZipFile(data_folder() / ARCHIVES[name]) as archive:
        entries = [entry for entry in archive.namelist() if entry.startswith(prefix)]
        if not entries:
            raise ValueError(f"{ARCHIVES[name]} holds nothing under {prefix!r}")
        archive.extractall(room, entries)
    return room / prefix


@cache
def _room() -> Path:
    room = Path(tempfile.mkdtemp(prefix="learnd-tests-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    return room


def _task(dest: Path, source: Path, ways: int, shots: int) -> list[Path]:
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    if len(classes) < ways:
        raise ValueError(f"{source.name} has {len(classes)} classes, not {ways}")
    held_out: list[Path] = []
    for folder in classes[:ways]:
        images = sorted(folder.iterdir())
        (dest / folder.name).mkdir(parents=True)
        for image in images[:shots]:
            shutil.copyfile(image, dest / folder.name / image.name)
        held_out += images[shots:]
    return held_out
