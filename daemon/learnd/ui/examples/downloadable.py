"""Collections of images that torchvision knows where to get, as task folders to try.

What lies in the folder already is used as it is; else torchvision's own downloader is asked for it.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnd.errors import LearndError
from learnd.suggest import did_you_mean

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES_PER_TASK = 10  # of a collection that go into a task


@dataclass(frozen=True)
class Collection:
    """folder: of the class folders, below the root; grouped: a folder of such folders each, as the alphabets are."""

    folder: str
    summary: str
    grouped: bool = False


COLLECTIONS = {
    "omniglot": Collection(
        "omniglot-py/images_evaluation", "characters of an alphabet: omniglot/Tibetan (Lake et al. 2015)", grouped=True
    ),
    "eurosat": Collection("eurosat/2750", "kinds of land from space (Helber et al. 2019)"),
    "textures": Collection("dtd/dtd/images", "describable textures (Cimpoi et al. 2014)"),
}


def classes_of(name: str, root: Path, images: int) -> dict[str, list[Image]]:
    """So many images of each of the first CLASSES_PER_TASK classes, evenly spread over what there is of them.

    name: of a collection, or "collection/group".  Raises LearndError if it cannot be had.
    """
    from PIL import Image

    which, _, group = name.partition("/")
    place = _fetched(which, root)
    if COLLECTIONS[which].grouped:
        place = place / _group(place, group, name)
    found: dict[str, list[Image.Image]] = {}
    for folder in sorted(path for path in place.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        if len(files) >= images and len(found) < CLASSES_PER_TASK:
            found[folder.name] = [Image.open(files[number * len(files) // images]) for number in range(images)]
    if len(found) < 2:
        raise LearndError(f"there are no two classes of {images} images each", where=str(place), remedy=_REMOVE)
    return found


_REMOVE = "remove that folder, and it is fetched again"


def _group(place: Path, wanted: str, name: str) -> str:
    groups = sorted(path.name for path in place.iterdir() if path.is_dir())
    if not groups:
        raise LearndError("is empty", where=str(place), remedy=_REMOVE)
    if wanted and wanted not in groups:
        raise LearndError(f"there is no {name!r}", where=str(place), remedy=did_you_mean(wanted, groups))
    return wanted or groups[0]


def _fetched(which: str, root: Path) -> Path:
    """The collection's folder, fetched where it is not there."""
    place = root / COLLECTIONS[which].folder
    if place.is_dir():
        return place
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "learnd.learning.processes.fetch_collection", which, str(root)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode or not place.is_dir():
        why = done.stderr.strip().splitlines()[-1:] or ["nothing was fetched"]
        there = f"--root DIR with DIR/{COLLECTIONS[which].folder}"
        remedy = f"see that there is a network, or put it there yourself: {there}"
        raise LearndError(f"{which} cannot be fetched ({why[0]})", where=str(place), remedy=remedy)
    return place
