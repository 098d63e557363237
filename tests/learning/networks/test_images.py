"""Every kind of image file comes out as a person sees it on white paper."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as vision

from learnd.errors import ImageError
from learnd.learning.networks.images import Preprocess, decode, load_batch, normalise, to_input
from tests.data import requires_data, unpacked

RGB = Preprocess(size=32, channels=3, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
GREY = Preprocess(size=28, channels=1, mean=(0.92,), std=(0.22,))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def corners() -> Image.Image:
    """Red, green, blue and white quarters, 48 x 32: no turn or mirroring of it looks the same."""
    image = Image.new("RGB", (48, 32), "white")
    image.paste((255, 0, 0), (0, 0, 24, 16))
    image.paste((0, 255, 0), (24, 0, 48, 16))
    image.paste((0, 0, 255), (0, 16, 24, 32))
    return image


def ramp(dtype: type, top: float) -> Image.Image:
    """Grey from 0 (left) to top (right), 256 x 8."""
    return Image.fromarray(np.tile(np.linspace(0, top, 256), (8, 1)).astype(dtype))


def assert_alike(image: Image.Image, expected: Image.Image, most: int = 0) -> None:
    assert image.size == expected.size
    left, right = np.asarray(image.convert("RGB"), int), np.asarray(expected.convert("RGB"), int)
    assert np.abs(left - right).max() <= most


# How to undo each EXIF orientation, so that applying it gives the picture back.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", sorted(STORED_AS))
def test_the_exif_orientation_is_applied(orientation: int, form: str) -> None:
    turn = STORED_AS[orientation]
    stored = corners() if turn is None else corners().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    best: dict[str, dict[str, Any]] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    decoded = decode(encoded(stored, form, exif=exif, **best.get(form, {})))
    assert_alike(decoded, corners(), most=3)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_lossless_formats_give_the_pixels_back(form: str, mode: str) -> None:
    image = corners().convert(mode)
    assert_alike(decode(encoded(image, form)), image.convert("RGB"))


def test_webp_lossless_and_lossy() -> None:
    assert_alike(decode(encoded(corners(), "WEBP", lossless=True)), corners())
    flat = Image.new("RGB", (32, 32), (200, 120, 40))
    assert_alike(decode(encoded(flat, "WEBP", quality=90)), flat, most=6)


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (8, 8), 1)
    image.putpixel((0, 0), 0)
    decoded = decode(encoded(image, "PNG"))
    assert decoded.mode == "L"
    assert (decoded.getpixel((0, 0)), decoded.getpixel((1, 1))) == (0, 255)


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("TIFF", "RGBA")])
def test_transparency_is_laid_over_white(form: str, mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    decoded = decode(encoded(image.convert(mode), form, **options)).convert("L")
    assert [decoded.getpixel((x, 0)) for x in range(3)] == [0, 255, 127]


@pytest.mark.parametrize("transparency", [0, bytes([0, 255, 255])])
def test_a_transparent_palette_colour_is_white(transparency: int | bytes) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    decoded = decode(encoded(image, "PNG", transparency=transparency))
    assert decoded.getpixel((0, 0)) == (255, 255, 255)
    assert decoded.getpixel((1, 0)) == (255, 0, 0)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(form: str) -> None:
    decoded = decode(encoded(ramp(np.uint16, 65535), form))
    assert_alike(decoded, ramp(np.uint8, 255), most=1)


def test_16_bit_grey_with_a_transparent_value() -> None:
    image = ramp(np.uint16, 65535)
    decoded = decode(encoded(image, "PNG", transparency=0))
    assert decoded.getpixel((0, 0)) == 255
    assert decoded.getpixel((1, 0)) == 1


def test_16_bit_colour() -> None:
    deep = np.zeros((4, 4, 3), ">u2")
    deep[..., 0] = 65535
    deep[..., 1] = 32768
    decoded = decode(_png16_rgb(deep))
    assert decoded.getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_pixels_are_refused_with_a_remedy(dtype: type) -> None:
    with pytest.raises(ImageError, match="32-bit pixels") as caught:
        decode(encoded(ramp(dtype, 1000), "TIFF"), "cells/a.tif")
    assert caught.value.where == "cells/a.tif"
    assert "8 or 16 bits" in (caught.value.remedy or "")


def test_cmyk_jpeg_which_adobe_stores_inverted() -> None:
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red ink
    data = encoded(flat, "JPEG", quality=100)
    assert b"Adobe" in data
    red, green, blue = np.asarray(decode(data))[8, 8].tolist()
    assert red > 250
    assert green < 5
    assert blue < 5


def test_cmyk_tiff() -> None:
    assert decode(encoded(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "TIFF")).getpixel((0, 0)) == (0, 255, 255)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(form: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert_alike(decode(data), frames[0])


@pytest.mark.parametrize("data", [b"", b"not an image", b"GIF89a" + bytes(40), b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_said_without_addresses(data: bytes) -> None:
    with pytest.raises(ImageError, match="not an image") as caught:
        decode(data, "a.png")
    assert "0x" not in str(caught.value)


def test_a_truncated_image_is_refused() -> None:
    data = encoded(corners().resize((300, 300)), "JPEG")
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode(data[: len(data) // 2])


def test_a_large_photograph_is_decoded_small_and_looks_the_same() -> None:
    y, x = np.mgrid[0:1500, 0:2000]
    waves = np.stack([127 + 100 * np.sin(x / 90), 127 + 100 * np.cos(y / 70), (x + y) // 14], 2).astype(np.uint8)
    data = encoded(Image.fromarray(waves), "JPEG", quality=92)
    small = decode(data, side=RGB.size)
    assert max(small.size) < 2000
    assert min(small.size) >= 2 * RGB.size
    difference = (to_input(small, RGB).int() - to_input(decode(data), RGB).int()).abs().float()
    assert difference.mean() < 1


def test_every_input_has_the_shape_that_the_backbone_takes() -> None:
    assert to_input(corners(), RGB).shape == (3, 32, 32)
    grey = to_input(corners(), GREY)
    assert grey.shape == (1, 28, 28)
    assert grey.dtype == torch.uint8


@pytest.mark.parametrize(("width", "height"), [(300, 17), (5, 9), (28, 28), (1, 64), (32, 40)])
def test_an_input_is_to_the_bit_what_torchvision_would_make_of_it(width: int, height: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    for preprocess, mode in ((RGB, "RGB"), (GREY, "L")):
        image = Image.fromarray(noise).convert(mode)
        theirs = vision.resize(vision.pil_to_tensor(image), [preprocess.size, preprocess.size], antialias=True)
        assert torch.equal(to_input(Image.fromarray(noise), preprocess), theirs)


def test_a_batch_keeps_the_order_and_names_every_bad_file() -> None:
    black, white = (encoded(Image.new("L", (9, 9), value), "PNG") for value in (0, 255))
    files = [("black", black), ("bad", b"x"), ("white", white), ("worse", b"")]
    images, errors = load_batch(files, GREY, threads=3)
    assert images.float().mean((1, 2, 3)).tolist() == [0, 255]
    assert [error.where for error in errors] == ["bad", "worse"]


def test_a_batch_does_not_depend_on_the_number_of_threads() -> None:
    files = [(str(k), encoded(ramp(np.uint8, 10 * k), "PNG")) for k in range(20)]
    assert torch.equal(load_batch(files, RGB, 1)[0], load_batch(files, RGB, 4)[0])


def test_an_empty_batch() -> None:
    images, errors = load_batch([], GREY)
    assert images.shape == (0, 1, 28, 28)
    assert errors == []


def test_normalised_as_the_backbone_was_trained() -> None:
    images = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    assert torch.equal(normalise(images, RGB), torch.ones(2, 3, 32, 32))


@requires_data("omniglot", "eurosat")
def test_real_files() -> None:
    glyph = sorted(unpacked("omniglot", "images_evaluation/Angelic/").rglob("*.png"))[0]
    land = sorted(unpacked("eurosat").rglob("*.jpg"))[0]
    images, errors = load_batch([(str(path), path.read_bytes()) for path in (glyph, land)], RGB)
    assert not errors
    assert images[0].float().mean() > 200  # black strokes on white
    assert images[1].float().std() > 1


def _png16_rgb(deep: np.ndarray[Any, Any]) -> bytes:
    """A 16-bit RGB PNG, which Pillow cannot write itself; deep: big-endian (H, W, 3)."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = deep.shape
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
