"""Is this file an image that can be learnt from?  Decoded once, for real, and thrown away.

The size is read from the header first, so that a decompression bomb is never unpacked.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from typing import TYPE_CHECKING

from learnd.messages.task import Problem, Severity

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")

_OTHERS = (  # first bytes of what is often found under an image's name
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (b"version https://git-lfs", "a Git LFS pointer, not the image"),
    (b"<svg", "an SVG"),
    (b"<?xml", "XML"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
)


def read_file(path: str, most: int) -> bytes:
    """At most most + 1 bytes of a regular file.  Raises OSError, also for a pipe or a device."""
    # O_NONBLOCK: were it swapped for a pipe since the scan, opening it would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("no regular file")
        return file.read(most + 1)


def examine(data: bytes, where: str, max_pixels: int) -> Problem | None:
    """What is wrong with the bytes of an image file: an error, a warning, or nothing."""
    from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401  (registers)

    if not data:
        return examine_other(data, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on odd but harmless metadata
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    return _too_large(where, f"has {width:,} x {height:,} pixels; the limit is {max_pixels:,}")
                if image.mode in ("I", "F"):
                    what = "has 32-bit pixels, which say nothing of what is black and what is white"
                    return Problem("deep-pixels", where, what, "save it with 8 or 16 bits a channel")
                _unpack(image)
                return _frames(image, where)
    except Image.DecompressionBombError:  # from its header, before anything is unpacked
        most = f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,}"
        return _too_large(where, f"unpacks to more than {most} pixels, which is never done")
    except UnidentifiedImageError:
        return _unknown(data, where)
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
        return _broken(error, where)


def examine_other(data: bytes, where: str) -> Problem | None:
    """The same for a file that only a plugin can read: it must not be empty, and no more can be checked here."""
    return None if data else Problem("empty-file", where, "is empty (0 bytes)", "copy it again, or remove it")


def _unpack(image: Image.Image) -> None:
    """All the steps that learning will take, so that what passes here decodes there."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    upright.load()
    corner = upright.crop((0, 0, 1, 1))  # the conversion is the same for every pixel
    deep = image.mode.startswith("I;16")
    corner.convert("I" if deep else "RGBA" if image.has_transparency_data else "RGB")


def _frames(image: Image.Image, where: str) -> Problem | None:
    frames = getattr(image, "n_frames", 1)
    if frames == 1 or image.format == "MPO":  # a phone's JPEG carries its own preview as a second picture
        return None
    what = f"has {frames} frames or pages; only the first is learnt"
    return Problem("several-frames", where, what, "save the frames as single images", Severity.WARNING)


def _too_large(where: str, what: str) -> Problem:
    return Problem("image-too-large", where, what, "shrink it, or raise intake.max_pixels in config.yaml")


def _unknown(data: bytes, where: str) -> Problem:
    start = data[:512].lstrip().lower()
    kind = next((name for magic, name in _OTHERS if start.startswith(magic.lower())), None)
    if kind is None and data[4:8] == b"ftyp":
        kind = "an HEIC, AVIF or video file"
    if kind is None and all(byte in b"\t\n\r\f" or byte >= 32 for byte in data[:512]):
        kind = "text"
    if kind is None:
        return Problem("undecodable", where, "is no image that can be decoded", "save it again as PNG or JPEG")
    return Problem("wrong-format", where, f"holds {kind}, whatever its name says", "save it as PNG or JPEG")


def _broken(error: Exception, where: str) -> Problem:
    reason = str(error) or type(error).__name__
    if "truncated" in reason.lower():
        return Problem("truncated", where, f"breaks off before its end ({reason})", "copy or download it again")
    return Problem("undecodable", where, f"cannot be decoded ({reason})", "save it again as PNG or JPEG")
