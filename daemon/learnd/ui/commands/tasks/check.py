"""`learnd check`: is a folder fit to be a task?  Without the daemon."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from learnd.messages.convert import Json
from learnd.messages.task import ImageSplit
from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, json_output

if TYPE_CHECKING:
    from learnd.control.intake.folder_scan import Scan
    from learnd.control.intake.inspection import Inspection


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@pass_asked
def check(asked: CommandLine, folder: Path, as_json: bool) -> int:
    """Check whether a folder can be learned, and say how to correct it if not.

    The check is the same as the daemon's.  It learns nothing and changes nothing.

    \b
    Examples:
      learnd check tasks/birds
      learnd check birds --json | jq -r '.problems[].remedy'
    """
    from learnd.control.intake.folder_scan import is_ignored, scan
    from learnd.control.intake.inspection import inspect

    settings = asked.settings()
    place = Path(os.path.abspath(folder))  # its name, even where it is given as ".." or "."
    seen, now = scan(place), time.time()
    with json_output.journal_if_any(settings) as journal:
        readers = journal.readers() if journal else ()
    with console.progress(f"reading {folder}") as progress:
        inspection = inspect(place, settings.intake, lambda done, total, path: progress(path, done, total), readers)
    assert seen is not None  # click has checked that the folder is there
    ready, reason = False, "the daemon ignores a folder of this name"
    if not is_ignored(place.name):
        ready, reason = _readiness(seen, inspection, now, settings.watch.quiet_seconds)
    data = _checked(folder, place.name, inspection, ready, reason)
    if as_json:
        console.print_json(data)
    else:
        _show_check(data)
    return 0 if inspection.accepted else 1


def _readiness(seen: Scan, inspection: Inspection, now: float, quiet_seconds: float) -> tuple[bool, str]:
    """What the daemon would find, as far as one look can tell."""
    if inspection.changed:
        return False, "it changed while it was read"
    if seen.marker:
        return True, "the marker .ready is there"
    age = now - max((entry.mtime_ns for entry in seen.entries), default=0) / 1e9
    if age < quiet_seconds:
        return False, f"its newest file is {max(0.0, age):.1f} s old; {quiet_seconds:g} s without a change are needed"
    return True, f"no file has changed for {quiet_seconds:g} s"


def _checked(folder: Path, name: str, inspection: Inspection, ready: bool, reason: str) -> Json:
    from learnd.messages.convert import to_json

    support = [file for file in inspection.files if file.split is ImageSplit.SUPPORT]
    return {
        "folder": str(folder),
        "name": name,
        "ready": ready,
        "reason": reason,
        "valid": inspection.accepted,
        "problems": [to_json(problem) for problem in inspection.problems],
        "ways": len({file.class_name for file in support}),
        "images": len(support),
        "queries": len(inspection.files) - len(support),
        "bytes": inspection.bytes,
        "digest": inspection.digest,
        "options": to_json(inspection.options),
    }


def _show_check(data: Json) -> None:
    from learnd.identity import printable
    from learnd.ui.views import text_output
    from learnd.ui.views.formatting import counted, size

    classes, images = counted(data["ways"], "class", "classes"), counted(data["images"], "image")
    held = f" and {counted(data['queries'], 'held-out image')}" if data["queries"] else ""
    errors = sum(problem["severity"] == "error" for problem in data["problems"])
    verdict = f"not fit to be learnt: {counted(errors, 'error')}" if errors else "fit to be learnt"
    ready = "ready" if data["ready"] else "not ready yet"
    console.show(
        f"{printable(data['folder'])}: {classes}, {images}{held}, {size(data['bytes'])}",
        f"  {ready}: {data['reason']}",
        f"  {verdict}",
        *text_output.problems(data["problems"]),
    )
