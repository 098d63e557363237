"""`learnd report`: the whole state as one page that can be kept, sent and looked at anywhere."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from pathlib import Path

import click

from learnd import __version__
from learnd.control.journal.journal import Journal
from learnd.control.journal.surveys import matrices
from learnd.control.journal.tasks import TaskRow
from learnd.control.knowledge.generations import Generations
from learnd.errors import LearndError
from learnd.messages.convert import Json, to_json_all
from learnd.messages.state_files import EXEMPLARS_FILE
from learnd.settings.keys import Settings
from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, html_report, json_output
from learnd.ui.views.html_report import ReportPage

THUMBS = 8  # images of a task, of as many classes
THUMBNAIL_SIDE = 56  # pixels of an image


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("learnd-report.html"),
    show_default=True,
    help="Write to this file.",
)
@json_option
@pass_asked
def report(asked: CommandLine, out: Path, as_json: bool) -> None:
    """Write one HTML page about everything that is known: accuracy over time, and each task with images.

    The page needs no network and no scripts.  It contains small copies of your images: take care who gets it.

    \b
    Examples:
      learnd report
      learnd report --out /tmp/lab.html --json
    """
    settings = asked.settings()
    with json_output.opened(settings) as journal:
        page = report_page(settings, journal)
    text = html_report.render(page).encode("utf-8", "backslashreplace")
    try:
        out.write_bytes(text)
    except OSError as error:
        remedy = "name a file in a folder that you may write to: --out FILE"
        raise LearndError(f"cannot be written ({error.strerror})", where=str(out), remedy=remedy) from error
    if as_json:
        console.print_json({"file": str(out.absolute()), "bytes": len(text), "tasks": len(page.tasks)})
    else:
        console.say(f"wrote {out} ({len(text):,} bytes): open it in a browser")


def report_page(settings: Settings, journal: Journal) -> ReportPage:
    """Read all that the page shows."""
    generations = Generations(settings.state, journal)
    newest = {row.id: row for row in journal.tasks.all()}  # in the order of revisions: the last one stays
    rows = sorted(newest.values(), key=lambda row: (-row.updated, row.name))
    scoped, unified = matrices(journal.surveys.all())
    return ReportPage(
        learnd=__version__,
        at=time.time(),
        path=str(settings.state),
        knowledge=json_output.knowledge(settings, journal),
        tasks=json_output.tasks(sorted(rows, key=lambda row: row.name)),
        details=[_detail(journal, generations, row) for row in rows[: html_report.DETAILED]],
        joins=json_output.joins(journal, settings),
        twins=json_output.twins(journal),
        versions=json_output.versions(journal),
        decisions=json_output.decisions(journal),
        unified=unified,
        scoped=scoped,
    )


def _detail(journal: Journal, generations: Generations, row: TaskRow) -> Json:
    held = next(iter(journal.history.current(row.id)), None)  # of a task whose new content is wrong, the old one serves
    learnt = generations.report(row.id, held.revision) if held else None
    archive = generations.tasks / held.folder / EXEMPLARS_FILE if held else None
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state.value,
        "reason": row.reason,
        "report": learnt,
        "nearest": to_json_all(journal.history.relations.nearest(row.id)),
        "thumbs": thumbnails(archive) if archive else [],
    }


def thumbnails(archive: Path) -> list[Json]:
    """The first kept image of each of the first classes; none of an archive that cannot be read: the doctor tells."""
    found: dict[str, str] = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in sorted(opened.namelist()):
                name = member.partition("/")[0]
                if name not in found and len(found) < THUMBS:
                    found[name] = _thumbnail(opened.read(member))
    except (OSError, zipfile.BadZipFile):
        return []
    return [{"class": name, "src": source} for name, source in found.items() if source]


def _thumbnail(data: bytes) -> str:
    """A small copy as a data: URI; empty for a file that only a plugin can read."""
    from PIL import Image, UnidentifiedImageError

    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            image.convert("RGB").save(buffer, "WEBP", quality=70)
    except (OSError, UnidentifiedImageError, ValueError):
        return ""
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
