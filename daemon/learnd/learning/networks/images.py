"""From the bytes of a file to a tensor that a backbone takes.

Pillow decodes (torchvision's own decoders are deprecated since 0.29, and Pillow is what the intake checks
with, so that what passed the check decodes the same); torch resizes it, to the bit as torchvision would.  torchvision
itself is not asked: to import it costs every process as much again as to import torch.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from learnd.errors import ImageError
from learnd.messages.task import EXTENSIONS

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")  # and none of the riskier ones that Pillow knows
_SAVE_AGAIN = "open it in an image editor and save it again, or remove it"


@dataclass(frozen=True)
class Preprocess:
    """What a backbone wants to be fed.

    size: side of the square input, in pixels.  channels: 1 (grey) or 3 (RGB).
    mean, std: per-channel constants, over values in [0, 1].
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


Readers = Mapping[str, Callable[[bytes, str], Image.Image]]  # extension -> decode(data, where); see readers.py
NO_READERS: Readers = MappingProxyType({})


def decode(data: bytes, where: str = "image", side: int | None = None, readers: Readers = NO_READERS) -> Image.Image:
    """Decode the bytes of an image file as a person would see it on white paper.

    EXIF orientation is applied, transparency is laid over white, 16-bit values are scaled to 8; palette, CMYK
    and grey images come out as "L" or "RGB"; of an animation the first frame is taken.  side: the image will be
    shrunk to so many pixels; a large JPEG is then decoded at a half, a quarter or an eighth of its size, but
    never at less than twice the side.  readers: how files of other kinds are decoded, by the extension of where.
    Raises ImageError if the bytes are no such image.
    """
    extension = PurePath(where).suffix.lower()
    if extension in readers:
        return readers[extension](data, where)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if side is not None:
                # 4000x3000 shrunk to 128: 58 ms instead of 240; a pixel differs by 0.2 of 255, at most by 1.
                opened.draft(None, (2 * side, 2 * side))  # does nothing unless it is a JPEG
            image = ImageOps.exif_transpose(opened)
            image.load()
            return _flatten(image, where)
    except ImageError:
        raise
    except UnidentifiedImageError as error:  # its own message holds the address of a buffer
        other = extension and extension not in EXTENSIONS
        what = "is not an image that can be read" + (f", and no plugin reads {extension} files" if other else "")
        raise ImageError(what, where=where, remedy=_SAVE_AGAIN) from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageError(f"cannot be decoded ({error})", where=where, remedy=_SAVE_AGAIN) from error


def _flatten(image: Image.Image, where: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _shallow(image)
    if image.mode in ("I", "F"):
        what = "has 32-bit pixels, which say nothing of what is black and what is white"
        raise ImageError(what, where=where, remedy="save it with 8 or 16 bits a channel")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(paper, rgba).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit, over the full range; Pillow's own convert("L") would clip instead."""
    deep = np.asarray(image.convert("I"))  # (H, W) int32 in [0, 65535]
    grey = ((deep * 255 + 32767) // 65535).astype(np.uint8)  # (H, W)
    if (key := image.info.get("transparency")) is not None:
        grey[deep == key] = 255  # a PNG's transparent value, on white paper
    return Image.fromarray(grey)


def to_input(image: Image.Image, preprocess: Preprocess) -> Tensor:
    """A decoded image as uint8 (C, size, size): squeezed to a square, antialiased."""
    grey_or_rgb = image.convert("L" if preprocess.channels == 1 else "RGB")
    pixels = torch.from_numpy(np.array(grey_or_rgb)).reshape(image.height, image.width, -1)  # (H, W, C) uint8
    square = (preprocess.size, preprocess.size)
    return F.interpolate(pixels.permute(2, 0, 1)[None], square, mode="bilinear", antialias=True)[0]  # (C, S, S)


def load_batch(
    files: Sequence[tuple[str, bytes]], preprocess: Preprocess, threads: int = 1, readers: Readers = NO_READERS
) -> tuple[Tensor, list[ImageError]]:
    """Decode (name, bytes) pairs to uint8 (N, C, S, S), and every file that could not be, at once.

    The batch holds only the images that decoded, in the order given.
    """

    def one(file: tuple[str, bytes]) -> Tensor | ImageError:
        try:
            return to_input(decode(file[1], file[0], preprocess.size, readers), preprocess)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(max(1, threads)) as pool:
        results = list(pool.map(one, files))
    images = [result for result in results if isinstance(result, Tensor)]
    errors = [result for result in results if isinstance(result, ImageError)]
    shape = (0, preprocess.channels, preprocess.size, preprocess.size)
    return (torch.stack(images) if images else torch.empty(shape, dtype=torch.uint8)), errors


def normalise(images: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 (N, C, S, S) in [0, 255] to float32, centred and scaled as the backbone was trained."""
    mean, std = (_channels(values, images.device) for values in (preprocess.mean, preprocess.std))
    return (images.float() / 255.0 - mean) / std  # (N, C, S, S)


def _channels(values: Sequence[float], device: torch.device) -> Tensor:
    """float32 (1, C, 1, 1), filled on the device: nothing is copied there, so that a CUDA graph can hold it."""
    return torch.cat([torch.full((1, 1, 1, 1), value, device=device) for value in values], 1)
