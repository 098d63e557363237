"""A few original images of each class, kept so that the backbone itself can be improved later.

They are chosen by the smallest hash of their content, so the choice depends on nothing but the images.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from learnd.identity import leaf_of, nfc
from learnd.learning.networks.images import FORMATS, NO_READERS, Readers, decode

EXEMPLAR_SIDE = 256  # pixels: a longer image is kept shrunk, as PNG
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of every member: the archive depends on the images alone
_READABLE = 0o644 << 16


@dataclass(frozen=True)
class Labelled:
    """One image file: where it lies, its class, and the sha256 (32 bytes) of its content."""

    path: Path
    class_name: str
    sha256: bytes


def choose(files: Iterable[Labelled], per_class: int) -> tuple[Labelled, ...]:
    """At most per_class different files of each class, those with the smallest sha256; sorted by class and sha256."""
    chosen: list[Labelled] = []
    taken: dict[str, set[bytes]] = {}
    for file in sorted(files, key=lambda file: (file.class_name, file.sha256, str(file.path))):
        own = taken.setdefault(file.class_name, set())
        if len(own) < per_class and file.sha256 not in own:
            own.add(file.sha256)
            chosen.append(file)
    return tuple(chosen)


def write(files: Sequence[Labelled], archive: Path, readers: Readers = NO_READERS) -> None:
    """Store files in a zip whose bytes depend on nothing but theirs; copies within a class once.

    Each is "<class>/<sha256 of what is kept><suffix>", so that it vouches for itself.

    Raises FileNotFoundError, or another OSError, where a file is gone or no longer what its sha256 says.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        for file in files:
            data = file.path.read_bytes()
            if leaf_of(data) != file.sha256:
                raise FileNotFoundError(f"{file.path} is no longer the file that was learnt")
            suffix, kept = _kept(data, file, readers)
            name = f"{nfc(file.class_name)}/{hashlib.sha256(kept).hexdigest()}{suffix}"
            if name in opened.NameToInfo:
                continue
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = _READABLE
            opened.writestr(member, kept)


def _kept(data: bytes, file: Labelled, readers: Readers) -> tuple[str, bytes]:
    """The suffix and bytes to keep: the original's, or those of a PNG of at most EXEMPLAR_SIDE pixels a side.

    Of what a plugin reads the picture is kept, which needs no plugin to be seen again.
    """
    if file.path.suffix.lower() not in readers:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:  # reads no pixel yet
            if max(opened.size) <= EXEMPLAR_SIDE:
                return file.path.suffix.lower(), data
    image = decode(data, str(file.path), EXEMPLAR_SIDE, readers)
    image.thumbnail((EXEMPLAR_SIDE, EXEMPLAR_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return ".png", buffer.getvalue()
