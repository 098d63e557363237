"""Both wings judge an image alike: what the intake accepts decodes in a worker, and what it refuses does not."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from learnd.control.intake.image_check import examine
from learnd.errors import ImageError
from learnd.learning.networks.images import decode
from tests.broken import draw

MODES = {
    "TIFF": ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
}


def decodes(data: bytes) -> bool:
    try:
        decode(data)
    except ImageError:
        return False
    return True


@pytest.mark.parametrize(("form", "mode"), [(form, mode) for form, modes in MODES.items() for mode in modes])
def test_every_format_and_mode(form: str, mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (9, 7)).save(file, form)
    assert (examine(file.getvalue(), "image", 10**6) is None) == decodes(file.getvalue())


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_every_truncated_image(suffix: str, share: float, tmp_path: Path) -> None:
    draw(tmp_path / f"a.{suffix}", seed=3, size=64)
    data = (tmp_path / f"a.{suffix}").read_bytes()
    part = data[: int(len(data) * share)]
    assert (examine(part, "image", 10**6) is None) == decodes(part)
