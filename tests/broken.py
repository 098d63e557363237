"""Task folders with something wrong with them: real files, drawn on the spot.

``BROKEN[name] = (maker, codes)``: ``maker(folder)`` makes the folder, and the intake must find problems with
exactly these codes in it.  Where the code is of a warning only (see ``HARMLESS``) the task is learnt all the same.
"""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

Maker = Callable[[Path], None]


def draw(path: Path, seed: int, size: int = 28) -> None:
    """A small real image, another one for every seed; the suffix says the format."""
    image = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(image)
    turn = (seed * 2654435761) % 2**32
    box = [2 + turn % 7, 2 + turn // 7 % 7, size - 3 - turn // 49 % 7, size - 3 - turn // 343 % 7]
    shape = pen.ellipse if seed % 2 else pen.rectangle
    shape(box, outline=(turn % 200, turn // 200 % 200, seed % 251), width=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def good_task(folder: Path, classes: tuple[str, ...] = ("circles", "squares"), shots: int = 4) -> Path:
    """A task that nothing is wrong with; returns folder."""
    for row, name in enumerate(classes):
        for shot in range(shots):
            draw(folder / name / f"{shot}.png", seed=row + len(classes) * shot)
    return folder


def empty(folder: Path) -> None:
    folder.mkdir(parents=True)


def one_class(folder: Path) -> None:
    good_task(folder, classes=("circles",))


def empty_class(folder: Path) -> None:
    good_task(folder)
    (folder / "triangles").mkdir()


def too_few_images(folder: Path) -> None:
    good_task(folder)
    draw(folder / "triangles" / "0.png", seed=99)


def undecodable(folder: Path) -> None:
    (good_task(folder) / "circles" / "noise.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


def truncated(folder: Path) -> None:
    whole = good_task(folder) / "circles" / "half.jpg"
    draw(whole, seed=77, size=96)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def empty_file(folder: Path) -> None:
    (good_task(folder) / "circles" / "nothing.png").touch()


def bomb(folder: Path) -> None:
    """400 megapixels in about 100 bytes: to be refused from its header."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (good_task(folder) / "circles" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def huge_file(folder: Path) -> None:
    """300 MB that take no room on the disk."""
    with (good_task(folder) / "circles" / "huge.png").open("wb") as file:
        file.truncate(300_000_000)


def link_outside(folder: Path) -> None:
    draw(folder.parent / ".outside.png", seed=55)
    (good_task(folder) / "circles" / "link.png").symlink_to(folder.parent / ".outside.png")


def link_broken(folder: Path) -> None:
    (good_task(folder) / "circles" / "link.png").symlink_to("gone.png")


def link_loop(folder: Path) -> None:
    (good_task(folder) / "circles" / "link.png").symlink_to("link.png")


def link_to_a_class(folder: Path) -> None:
    (good_task(folder) / "rounds").symlink_to("circles")


def classes_clash_in_case(folder: Path) -> None:
    good_task(folder, classes=("Circles", "circles", "squares"))


def classes_clash_in_unicode(folder: Path) -> None:
    good_task(folder, classes=("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}", "tea"))


def files_clash(folder: Path) -> None:
    good_task(folder)
    draw(folder / "circles" / "A.png", seed=51)
    draw(folder / "circles" / "a.png", seed=53)


def nested(folder: Path) -> None:
    draw(good_task(folder) / "circles" / "more" / "0.png", seed=61)


def loose_image(folder: Path) -> None:
    draw(good_task(folder) / "cover.png", seed=63)


def no_support(folder: Path) -> None:
    good_task(folder / "query")


def unknown_query_class(folder: Path) -> None:
    good_task(folder / "train")
    good_task(folder / "test", classes=("circles", "hexagons"), shots=2)
    for image in (folder / "test").glob("*/*.png"):
        draw(image, seed=500 + len(str(image)) + ord(image.parent.name[0]) + int(image.stem))


def stray_folder(folder: Path) -> None:
    good_task(folder / "support")
    good_task(folder / "extra", classes=("a", "b"))


def gif_called_png(folder: Path) -> None:
    path = good_task(folder) / "circles" / "drawing.gif"
    draw(path, seed=71)
    path.rename(path.with_suffix(".png"))


def web_page_called_jpg(folder: Path) -> None:
    page = "<!DOCTYPE html><html><body>404 Not Found</body></html>"
    (good_task(folder) / "circles" / "photo.jpg").write_text(page)


def pipe(folder: Path) -> None:
    os.mkfifo(good_task(folder) / "circles" / "pipe.png")


def listening_socket(folder: Path) -> None:
    place = good_task(folder) / "circles"
    here = os.open(place, os.O_RDONLY)  # a socket's address may be 107 bytes long at most, a folder's path longer
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{here}/socket.png")
    finally:
        os.close(here)


def name_not_utf8(folder: Path) -> None:
    place = good_task(folder) / "circles"
    (place / "0.png").rename(os.fsdecode(os.fsencode(place) + b"/caf\xe9.png"))


def control_character(folder: Path) -> None:
    good_task(folder, classes=("circles", "squ\nares"))


def bad_options(folder: Path) -> None:
    (good_task(folder) / "task.yaml").write_text("prioritty: 3\nholdout: many\n")


def bad_join(task: Path) -> None:
    good_task(task)
    (task / "task.yaml").write_text("extends: task\nalias: {no-such-class: birds}\n")


def options_not_text(folder: Path) -> None:
    (good_task(folder) / "task.yaml").write_bytes(b"description: caf\xe9\n")


def several_frames(folder: Path) -> None:
    frames = [Image.new("RGB", (28, 28), colour) for colour in ("red", "green", "blue")]
    path = good_task(folder) / "circles" / "film.png"
    frames[0].save(path, save_all=True, append_images=frames[1:])


def label_conflict(folder: Path) -> None:
    good_task(folder)
    (folder / "squares" / "twin.png").write_bytes((folder / "circles" / "0.png").read_bytes())


def held_out_seen(folder: Path) -> None:
    good_task(folder / "support")
    good_task(folder / "query", shots=1)


def not_images(folder: Path) -> None:
    (good_task(folder) / "circles" / "labels.csv").write_text("0.png,circle\n")


def misnamed_options(folder: Path) -> None:
    (good_task(folder) / "task.yml").write_text("priority: 1\n")


def everything(folder: Path) -> None:
    """Many faults of many kinds: all of them must be named at once."""
    undecodable(folder)
    empty_class(folder)
    link_broken(folder)
    loose_image(folder)
    empty_file(folder)
    (folder / "circles" / "labels.csv").write_text("0.png,circle\n")


BROKEN: dict[str, tuple[Maker, set[str]]] = {
    "empty": (empty, {"no-classes"}),
    "one-class": (one_class, {"one-class"}),
    "empty-class": (empty_class, {"empty-class"}),
    "too-few-images": (too_few_images, {"too-few-images"}),
    "undecodable": (undecodable, {"undecodable"}),
    "truncated": (truncated, {"truncated"}),
    "empty-file": (empty_file, {"empty-file"}),
    "bomb": (bomb, {"image-too-large"}),
    "huge-file": (huge_file, {"file-too-big"}),
    "link-outside": (link_outside, {"symlink-outside"}),
    "link-broken": (link_broken, {"symlink-broken"}),
    "link-loop": (link_loop, {"symlink-loop"}),
    "link-to-a-class": (link_to_a_class, {"symlink-folder"}),
    "classes-clash-in-case": (classes_clash_in_case, {"class-clash"}),
    "classes-clash-in-unicode": (classes_clash_in_unicode, {"class-clash"}),
    "files-clash": (files_clash, {"file-clash"}),
    "nested": (nested, {"nested-folder"}),
    "loose-image": (loose_image, {"image-in-root"}),
    "no-support": (no_support, {"no-support"}),
    "unknown-query-class": (unknown_query_class, {"unknown-query-class"}),
    "stray-folder": (stray_folder, {"stray-folder"}),
    "gif-called-png": (gif_called_png, {"wrong-format"}),
    "web-page-called-jpg": (web_page_called_jpg, {"wrong-format"}),
    "pipe": (pipe, {"not-a-file"}),
    "socket": (listening_socket, {"not-a-file"}),
    "name-not-utf8": (name_not_utf8, {"bad-name"}),
    "control-character": (control_character, {"control-character"}),
    "bad-options": (bad_options, {"bad-options"}),
    "bad-join": (bad_join, {"bad-join"}),
    "options-not-text": (options_not_text, {"bad-options"}),
    "everything": (
        everything,
        {"undecodable", "empty-class", "symlink-broken", "image-in-root", "empty-file", "not-an-image"},
    ),
}

# Worth a warning; learnt all the same.
HARMLESS: dict[str, tuple[Maker, set[str]]] = {
    "several-frames": (several_frames, {"several-frames"}),
    "label-conflict": (label_conflict, {"label-conflict"}),
    "held-out-seen": (held_out_seen, {"held-out-seen"}),
    "not-images": (not_images, {"not-an-image"}),
    "misnamed-options": (misnamed_options, {"not-the-options"}),
}
