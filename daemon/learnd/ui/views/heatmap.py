"""The heat map of `learnd history` and of the HTML report: a matrix of accuracies as SVG or PNG.

One row per task, one column per version, the darker the better.  heatmap.svg is the template of the SVG.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from learnd.identity import printable
from learnd.metrics import Matrix
from learnd.ui.views.templates import environment

CELL = 16  # pixels
WIDEST = 120  # columns; of more versions, evenly spaced ones are drawn, the last among them
LETTER = 7  # pixels: the width of a letter of a label
LONGEST = 32  # letters of a label
_SCALE = ((247, 251, 255), (158, 202, 225), (33, 113, 181), (8, 48, 107))  # ColorBrewer's blues, from 0 to 1
_NOTHING = (255, 255, 255)


@dataclass(frozen=True)
class Box:
    """A filled rectangle, pixels from the top left; note: what it stands for."""

    x: int
    y: int
    width: int
    height: int
    fill: tuple[int, int, int]
    note: str = ""


@dataclass(frozen=True)
class Words:
    """Text that starts at x, with its baseline at y."""

    x: int
    y: int
    text: str


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    parts: tuple[Box | Words, ...]


def draw(panels: dict[str, Matrix]) -> Picture:
    """Draw the panels below each other, each under its title (the key)."""
    parts: list[Box | Words] = []
    left = 8 + LETTER * max((len(_label(task)) for matrix in panels.values() for task in matrix.tasks), default=0) + 8
    width, y = 0, 8
    for title, matrix in panels.items():
        columns = _chosen(len(matrix.versions))
        parts.append(Words(8, y + 12, title))
        parts += _cells(matrix, columns, left, y + 20)
        y += 20 + CELL * len(matrix.tasks)
        span = f"versions {matrix.versions[0]} to {matrix.versions[-1]}" if columns else "no version yet"
        parts.append(Words(left, y + 14, span))
        width = max(width, left + max(CELL * len(columns), LETTER * len(span)) + 8, 16 + LETTER * len(title))
        y += 32
    return Picture(width, y, tuple(parts))


def svg(picture: Picture) -> str:
    """A complete SVG document; the tooltip of a cell says what it stands for."""
    return environment().get_template("heatmap.svg").render(picture=picture)


def png(picture: Picture) -> bytes:
    """The same as a PNG file, drawn by Pillow.  Its built-in font has Latin letters only; others become "?"."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (picture.width, picture.height), _NOTHING)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default()
    for part in picture.parts:
        if isinstance(part, Words):
            plain = part.text.encode("latin-1", "replace").decode("latin-1")
            pen.text((part.x, part.y - 10), plain, fill=(0, 0, 0), font=font)
        else:
            corner = (part.x + part.width - 1, part.y + part.height - 1)
            pen.rectangle(((part.x, part.y), corner), fill=part.fill)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _cells(matrix: Matrix, columns: list[int], left: int, top: int) -> Iterator[Box | Words]:
    for j, task in enumerate(matrix.tasks):
        y = top + CELL * j
        yield Words(8, y + 12, _label(task))
        for place, i in enumerate(columns):
            value = matrix.values[i][j]
            if value is not None:
                note = f"{printable(task)}, version {matrix.versions[i]}: {value:.3f}"
                yield Box(left + CELL * place, y, CELL - 1, CELL - 1, colour(value), note)


def colour(value: float) -> tuple[int, int, int]:
    """The colour of an accuracy in [0, 1]: (red, green, blue), each 0 to 255."""
    place = min(max(value, 0.0), 1.0) * (len(_SCALE) - 1)
    low = min(int(place), len(_SCALE) - 2)
    red, green, blue = (round(a + (b - a) * (place - low)) for a, b in zip(_SCALE[low], _SCALE[low + 1], strict=True))
    return red, green, blue


def _chosen(count: int) -> list[int]:
    """The numbers of at most WIDEST rows, evenly spaced, the first and the last among them."""
    if count <= WIDEST:
        return list(range(count))
    return [place * (count - 1) // (WIDEST - 1) for place in range(WIDEST)]


def _label(task: str) -> str:
    plain = printable(task)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 3]}..."
