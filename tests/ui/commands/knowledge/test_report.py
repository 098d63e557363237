"""`learnd report`: one self-contained page that is true to the state and safe whatever the names are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.journal.surveys import Share, SurveyResult
from learnd.messages.state_files import EXEMPLARS_FILE
from learnd.metrics import Matrix
from learnd.ui.commands.knowledge.report import THUMBS, thumbnails
from learnd.ui.views import html_report
from learnd.ui.views.confusion_matrix import FULL_MATRIX
from learnd.ui.views.html_report import ReportPage
from tests.patience import PATIENCE
from tests.ui.conftest import Command
from tests.ui.reported import DATA

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def parsed(text: str) -> ElementTree.Element:
    """The page is well-formed XML too, so a strict parser reads it."""
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))


def page(data: dict[str, Any], name: str = "birds") -> str:
    values: tuple[tuple[float | None, ...], ...] = ((0.5,), (0.75,))
    matrix = Matrix((1, 2), (name,), values)
    return html_report.render(ReportPage(**data, unified=matrix, scoped=matrix))


@pytest.fixture
def written(learnd: Command, state: Path) -> str:
    with closing(Journal(state / JOURNAL)) as journal:
        share = Share(9, 10, "query")
        ids = {name: one for one, _, name in journal.members()}
        journal.surveys.record(journal.head, [SurveyResult(ids["birds"], "birds", "birds", share, share, "1" * 10)])
    data = learnd("report", "--out", "page.html", "--json").json
    assert data["tasks"] > 1
    text = Path("page.html").read_text()
    assert data["bytes"] == len(text.encode())
    return text


def test_the_page_shows_every_task_and_what_was_learnt(written: str, learnd: Command) -> None:
    words = "".join(parsed(written).itertext())
    for row in learnd("tasks", "--json").json["tasks"]:
        assert row["name"] in words
        assert row["state"] in words
    for heading in ("What learnd knows", "Accuracy, version by version", "Task by task", "What was tried", "Problems"):
        assert heading in words
    assert "0.900" in words  # the one task that was asked about


def test_the_page_loads_nothing(written: str) -> None:
    assert "<script" not in written
    for address in re.findall(r"""(?:src|href)=["']([^"']*)""", written):
        assert address.startswith(("data:", "#")), address
    assert "url(" not in written
    assert "@import" not in written


def test_a_page_that_cannot_be_written_is_an_error_with_its_path(learnd: Command, state: Path) -> None:
    said = learnd("report", "--out", "nowhere/page.html")
    assert said.code != 0
    assert "nowhere/page.html: cannot be written" in said.err


def test_before_the_first_daemon_there_is_nothing_to_report(learnd: Command, home: Path) -> None:
    assert learnd("report").code == 3


def test_names_are_shown_and_never_interpreted() -> None:
    evil = '<img src=x onerror="alert(1)">\x1b[31m'
    data = {**DATA, "tasks": [{**DATA["tasks"][0], "name": evil}], "details": [{**DATA["details"][0], "name": evil}]}
    text = page(data, evil)
    assert "<img src=x" not in text
    assert "\x1b" not in text
    assert evil.partition("\x1b")[0] in "".join(parsed(text).itertext())


EVIL = ["<script>alert(1)</script>\"'&", "'\" onload=alert(1) x='", "</style></svg>]]>", "{{ 7 * 7 }}", "&amp;lt;"]


@pytest.mark.parametrize("evil", EVIL)
def test_every_name_is_escaped_in_text_in_attributes_and_in_svg(evil: str) -> None:
    thumbs = [{"class": evil, "src": f"data:image/webp;base64,{evil}"}]
    mistakes = [{"path": evil, "class_name": evil, "told_as": "wren", "probability": 0.61}]
    confusions = [{"class_name": evil, "told_as": "wren", "images": 1}]
    report = {"classes": [evil, "wren"], "confusions": confusions, "mistakes": mistakes, "description": evil}
    report = {**DATA["details"][0]["report"], **report}
    detail = {**DATA["details"][0], "id": evil, "name": evil, "report": report, "thumbs": thumbs}
    task = {**DATA["tasks"][0], "id": evil, "name": evil, "state": "failed", "reason": evil}
    join = {"task": evil, "class": evil, "to_task": "b", "to_class": "c", "by": evil, "in_force": True}
    data = {**DATA, "path": evil, "tasks": [task], "details": [detail], "joins": [join]}
    root = parsed(page(data, name=evil))
    expected = parsed(page(json.loads(json.dumps(data).replace(json.dumps(evil)[1:-1], "NAME")), name="NAME"))
    assert [one.tag for one in root.iter()] == [one.tag for one in expected.iter()]
    assert [sorted(one.attrib) for one in root.iter()] == [sorted(one.attrib) for one in expected.iter()]
    for parts, names in zip(legible(root), legible(expected), strict=True):
        assert parts == names.replace("NAME", evil)


def legible(root: ElementTree.Element) -> list[str]:
    """All texts and values of attributes; without those that depend on the length of a name."""
    sizes = ("x", "y", "width", "height")
    attributes = [value for one in root.iter() for name, value in one.attrib.items() if name not in sizes]
    return [*root.itertext(), *attributes]


def test_with_many_tasks_the_page_says_which_are_shown_in_detail() -> None:
    text = page({**DATA, "tasks": DATA["tasks"] * 500})
    assert "The 1 that changed last, of 500; learnd show TASK shows any." in text


def test_few_classes_get_a_confusion_matrix_and_many_get_a_list() -> None:
    few = "".join(
        page(
            DATA,
        )
    )
    assert 'class="n hit">3<' in few
    assert 'class="n miss">1<' in few
    names = [f"class {number}" for number in range(FULL_MATRIX + 1)]
    learnt = {**DATA["details"][0]["report"], "classes": names, "asked": [4] * len(names)}
    confusions = [{"class_name": "class 0", "told_as": "class 7", "images": 2}]
    detail = {**DATA["details"][0], "report": {**learnt, "confusions": confusions}}
    many = page({**DATA, "details": [detail]})
    assert "hit" not in many.partition("</style>")[2]
    assert "<td>class 0</td><td>class 7</td>" in many


def test_thumbnails_are_small_images_of_the_first_classes(state: Path, tmp_path: Path) -> None:
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(tmp_path / EXEMPLARS_FILE, "w") as archive:
        for number in range(THUMBS + 2):
            buffer = io.BytesIO()
            Image.new("L", (300, 200), 20 * number).save(buffer, "PNG")
            archive.writestr(f"class {number}/{number}.png", buffer.getvalue())
        archive.writestr("a sound/1.wav", b"RIFF")
    found = thumbnails(tmp_path / EXEMPLARS_FILE)
    assert len(found) == THUMBS - 1  # a sound is no picture
    assert all(one["src"].startswith("data:image/webp;base64,") and len(one["src"]) < 2000 for one in found)
    assert thumbnails(tmp_path / "absent.zip") == []


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_it(written: str, tmp_path: Path) -> None:
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = Path("page.html").absolute().as_uri()
    shot = tmp_path / "page.png"
    command += [f"--screenshot={shot}", "--window-size=1200,1600", address]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    from PIL import Image

    with Image.open(shot) as image:
        assert image.size == (1200, 1600)
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20  # text, cards and curves, and no blank page


def test_the_chart_has_one_point_per_version() -> None:
    text = page(DATA)
    (points,) = set(re.findall(r'points="([^"]*)"', text))
    assert len(points.split()) == 2
