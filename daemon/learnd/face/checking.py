"""`learnd check` and `learnd config`: is a folder, or a settings file, fit to be used?  Without the daemon."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from learnd.errors import SettingsError
from learnd.face import screen, snapshot
from learnd.face.options import Asked, Command, Word, json_option, pass_asked

if TYPE_CHECKING:
    from learnd.control.intake import Inspection
    from learnd.control.scan import Scan

Json = dict[str, Any]


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@pass_asked
def check(asked: Asked, folder: Path, as_json: bool) -> int:
    """Say whether a folder is ready and fit to be a task, and how to mend it where it is not.

    It is read as the daemon reads it; nothing is learnt, nothing is changed.

    \b
    Examples:
      learnd check tasks/birds
      learnd check birds --json | jq -r '.problems[].remedy'
    """
    from learnd.control.intake import inspect
    from learnd.control.scan import is_ignored, scan

    settings = asked.settings()
    place = Path(os.path.abspath(folder))  # its name, even where it is given as ".." or "."
    seen, now = scan(place), time.time()
    with snapshot.journal_if_any(settings) as journal:
        readers = journal.readers() if journal else ()
    with screen.progress(f"reading {folder}") as progress:
        inspection = inspect(place, settings.intake, lambda done, total, path: progress(path, done, total), readers)
    assert seen is not None  # click has checked that the folder is there
    ready, reason = False, "the daemon ignores a folder of this name"
    if not is_ignored(place.name):
        ready, reason = _readiness(seen, inspection, now, settings.watch.quiet_seconds)
    data = _checked(folder, place.name, inspection, ready, reason)
    if as_json:
        screen.print_json(data)
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
    from learnd.wire import to_json

    support = [file for file in inspection.files if file.split == "support"]
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
    from learnd.face import report
    from learnd.face.wording import counted, size
    from learnd.identity import printable

    classes, images = counted(data["ways"], "class", "classes"), counted(data["images"], "image")
    held = f" and {counted(data['queries'], 'held-out image')}" if data["queries"] else ""
    errors = sum(problem["severity"] == "error" for problem in data["problems"])
    verdict = f"not fit to be learnt: {counted(errors, 'error')}" if errors else "fit to be learnt"
    ready = "ready" if data["ready"] else "not ready yet"
    screen.show(
        f"{printable(data['folder'])}: {classes}, {images}{held}, {size(data['bytes'])}",
        f"  {ready}: {data['reason']}",
        f"  {verdict}",
        *report.problems(data["problems"]),
    )


@click.command(cls=Command)
@click.argument("action", type=Word(["show", "validate"]), default="show")
@json_option
@pass_asked
def config(asked: Asked, action: str, as_json: bool) -> int:
    """Show every setting and where it is from, or say whether the settings are in order.

    \b
    Examples:
      learnd config                       what holds here, and who said so
      learnd config validate              exit code 2, and every mistake, if there is one
      LEARND_WATCH__BACKEND=polling learnd config show
    """
    if action == "validate":
        return _validate(asked, as_json)
    from learnd.settings import flatten

    settings = asked.settings()
    source = str(settings.source) if settings.source else None
    if as_json:
        rows = [{"key": s.key, "value": s.value, "origin": s.origin, "help": s.help} for s in flatten(settings)]
        screen.print_json({"source": source, "settings": rows})
        return 0
    table = screen.columns("key", "value", "from", flexible="value")
    for setting in flatten(settings):
        table.add_row(setting.key, _plain(setting.value), setting.origin, style="dim" * (setting.origin == "default"))
    screen.show(table)
    return 0


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _validate(asked: Asked, as_json: bool) -> int:
    try:
        settings = asked.settings()
    except SettingsError as error:
        if not as_json:
            raise
        problems = [{"where": one.where, "what": one.what, "remedy": one.remedy} for one in error.each]
        screen.print_json({"valid": False, "source": None, "problems": problems})
        return error.exit_code
    source = str(settings.source) if settings.source else None
    if as_json:
        screen.print_json({"valid": True, "source": source, "problems": []})
    else:
        click.echo(f"{source or 'no config.yaml here, the defaults'}: in order")
    return 0
