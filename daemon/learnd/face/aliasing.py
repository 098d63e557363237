"""`learnd alias`: classes of different tasks that are one and the same."""

from __future__ import annotations

import json
from typing import Any

import click

from learnd.face import screen, snapshot
from learnd.face.options import Asked, Command, complete_class, json_option, pass_asked
from learnd.identity import printable

Json = dict[str, Any]


@click.command(cls=Command)
@click.argument("source", metavar="[TASK/CLASS", required=False, shell_complete=complete_class)
@click.argument("target", metavar="OTHER/CLASS]", required=False, shell_complete=complete_class)
@click.option("--remove", metavar="TASK/CLASS", shell_complete=complete_class, help="This one is itself again.")
@json_option
@pass_asked
def alias(asked: Asked, source: str | None, target: str | None, remove: str | None, as_json: bool) -> None:
    """Answer the first class as the second from now on; without classes, list what is joined.

    Classes of equal name in two tasks are two classes until they are joined: here, or by alias: or extends: in a
    task.yaml.  It is a version of the knowledge like any other: learnd rollback takes it back.

    \b
    Examples:
      learnd alias garden/sparrow birds/house-sparrow
      learnd alias --remove garden/sparrow
      learnd alias --json | jq '.joins[] | select(.in_force | not)'
    """
    if (source is None) != (target is None) or (remove and source):
        raise click.UsageError("name two classes, TASK/CLASS OTHER/CLASS, or one with --remove, or none")
    if source is not None or remove is not None:
        version = _change(asked, source, target, remove)
        if not as_json:
            done = f"{remove} is itself again" if remove else f"{source} is answered as {target}"
            screen.say(f"{printable(done)}; the knowledge is version {version}")
            return
    with snapshot.journal_if_any(asked.settings()) as journal:
        found = snapshot.joins(journal, asked.settings()) if journal else []
        alike = snapshot.twins(journal) if journal else []
        version = journal.head if journal else 0
    if as_json:
        screen.print_json({"version": version, "joins": found, "suggested": alike})
        return
    from learnd.face import report

    if found or alike:
        screen.show(*map(report.join, found), *map(report.twin, alike))
    if not found:
        screen.say("no class is joined to another")


def _change(asked: Asked, source: str | None, target: str | None, remove: str | None) -> int:
    from learnd.control.undoing import ask

    settings = asked.settings()
    with snapshot.opened(settings):  # or say that there is nothing yet
        pass
    if remove is not None:
        return ask(settings, "part", json.dumps([remove])).version
    return ask(settings, "alias", json.dumps([source, target])).version
