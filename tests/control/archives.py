"""Archives of kept images, of random bytes: as a learn job leaves them, but for what is in them."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path


def packed(images: Mapping[str, int], size: int = 100, seed: int = 0) -> bytes:
    """A zip of so many images of each class."""
    draw, buffer = random.Random(seed), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, count in images.items():
            for _ in range(count):
                data = draw.randbytes(size)
                member = f"{name}/{hashlib.sha256(data).hexdigest()}.png"
                archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def counted(archive: Path) -> dict[str, int]:
    """How many images of each class are there."""
    with zipfile.ZipFile(archive) as opened:
        classes = [name.partition("/")[0] for name in opened.namelist()]
    return {name: classes.count(name) for name in classes}
