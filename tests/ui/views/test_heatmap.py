"""The heat map as SVG and as PNG."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

from PIL import Image

from learnd.metrics import Matrix
from learnd.ui.views.heatmap import CELL, WIDEST, Box, colour, draw, png, svg

R = Matrix((1, 5), ("cats <&> dogs", "\x1b[2J"), ((1.0, None), (0.5, 0.0)))


def boxes(matrix: Matrix) -> list[Box]:
    return [part for part in draw({"all": matrix}).parts if isinstance(part, Box)]


def test_there_is_a_box_for_each_value_in_its_colour() -> None:
    found = boxes(R)
    assert [one.fill for one in found] == [colour(1.0), colour(0.5), colour(0.0)]
    assert found[1].note == "cats <&> dogs, version 5: 0.500"
    assert [one.x - found[0].x for one in found] == [0, CELL, CELL]
    assert found[2].y - found[0].y == CELL


def test_the_better_the_darker() -> None:
    shades = [sum(colour(value / 10)) for value in range(11)]
    assert shades == sorted(shades, reverse=True)


def test_svg_is_xml_whatever_the_names_are() -> None:
    root = ElementTree.fromstring(svg(draw({"all": R})))
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0] == "cats <&> dogs, version 1: 1.000"
    assert titles[2] == "\\x1b[2J, version 5: 0.000"


def test_png_has_the_same_boxes() -> None:
    picture = draw({"all": R})
    with Image.open(io.BytesIO(png(picture))) as image:
        assert image.size == (picture.width, picture.height)
        for box in boxes(R):
            assert image.getpixel((box.x + 3, box.y + 3)) == box.fill


def test_of_many_versions_evenly_spaced_ones_are_drawn() -> None:
    long = Matrix(tuple(range(1, 1001)), ("cats",), tuple((0.5,) for _ in range(1000)))
    found = boxes(long)
    assert len(found) == WIDEST
    assert (found[0].note, found[-1].note) == ("cats, version 1: 0.500", "cats, version 1000: 0.500")


def test_without_versions_it_is_nearly_empty() -> None:
    assert boxes(Matrix((), (), ())) == []
    assert "no version yet" in svg(draw({"all": Matrix((), (), ())}))
