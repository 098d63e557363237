"""The images of a task that a state keeps, and which of them serve as held-out samples.

`exemplars.zip` holds support images, `heldout.zip`, if there is one, those of the task's held-out set.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from learnd.errors import StateError
from learnd.identity import RESTORE
from learnd.messages.state_files import EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE

EACH = 4  # one in this many images of a class is a held-out sample


@dataclass(frozen=True)
class Kept:
    """One image.  sha256: hex, of its data, which is the file as it is kept.  held_out: nothing was learnt from it."""

    class_name: str
    sha256: str
    data: bytes
    held_out: bool


def kept_images(folder: Path) -> tuple[Kept, ...]:
    """All that is kept of the revision in this folder, by class and sha256; raises StateError if it is damaged."""
    found: list[Kept] = []
    for name in (EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE):
        path = folder / name
        if name == HELD_OUT_IMAGES_FILE and not path.exists():
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    data, place = archive.read(member), PurePosixPath(member)
                    sha256 = hashlib.sha256(data).hexdigest()
                    if sha256 != place.stem:
                        what = f"{member} is not the image that was kept"
                        raise StateError(what, where=str(path), remedy=RESTORE)
                    found.append(Kept(place.parts[0], sha256, data, name == HELD_OUT_IMAGES_FILE))
        except (OSError, zipfile.BadZipFile) as error:
            raise StateError(f"cannot be read ({error})", where=str(path), remedy=RESTORE) from error
    return tuple(sorted(found, key=lambda kept: (kept.class_name, kept.sha256, kept.held_out)))


def divide(kept: Sequence[Kept]) -> tuple[tuple[Kept, ...], tuple[Kept, ...]]:
    """Divide into images to learn from and held-out samples: the held-out set, or else one in EACH images of a class.

    Every fourth by order of sha256, at least one; which these are depends on the images alone.
    """
    support = sorted((one for one in kept if not one.held_out), key=lambda one: (one.class_name, one.sha256))
    learnt = {one.sha256 for one in support}  # a duplicate of a support image is no held-out sample
    held_out = tuple(one for one in kept if one.held_out and one.sha256 not in learnt)
    if held_out:
        return tuple(support), held_out
    by_class: dict[str, list[Kept]] = {}
    for one in support:
        by_class.setdefault(one.class_name, []).append(one)
    samples = {id(one) for some in by_class.values() for one in some[EACH - 1 :: EACH]}
    return tuple(o for o in support if id(o) not in samples), tuple(o for o in support if id(o) in samples)
