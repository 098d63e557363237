"""`learnd alias`: classes of different tasks that are one and the same."""

from __future__ import annotations

import json

import click

from learnd.errors import UsageError
from learnd.identity import printable
from learnd.ui.options import Command, CommandLine, complete_class, json_option, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@click.argument("source", metavar="[TASK/CLASS", required=False, shell_complete=complete_class)
@click.argument("target", metavar="OTHER/CLASS]", required=False, shell_complete=complete_class)
@click.option("--remove", metavar="TASK/CLASS", shell_complete=complete_class, help="Remove the alias of this class.")
@json_option
@pass_asked
def alias(asked: CommandLine, source: str | None, target: str | None, remove: str | None, as_json: bool) -> None:
    """Answer the first class as the second.  Without classes, list all joined classes.

    Two tasks may have classes of the same name.  They are different classes until you join them here, or with alias: or
    extends: in a task.yaml.  An alias makes a new version: learnd rollback removes it again.

    \b
    Examples:
      learnd alias garden/sparrow birds/house-sparrow
      learnd alias --remove garden/sparrow
      learnd alias --json | jq '.joins[] | select(.in_force | not)'
    """
    if (source is None) != (target is None) or (remove and source):
        raise UsageError(
            "alias takes two classes, one class with --remove, or none",
            remedy="for example: learnd alias garden/sparrow birds/house-sparrow",
        )
    if source is not None or remove is not None:
        version = _change(asked, source, target, remove)
        if not as_json:
            done = f"{remove} is itself again" if remove else f"{source} is answered as {target}"
            console.say(f"{printable(done)}; the knowledge is version {version}")
            return
    with json_output.journal_if_any(asked.settings()) as journal:
        found = json_output.joins(journal, asked.settings()) if journal else []
        alike = json_output.twins(journal) if journal else []
        version = journal.head if journal else 0
    if as_json:
        console.print_json({"version": version, "joins": found, "suggested": alike})
        return
    from learnd.ui.views import text_output

    if found or alike:
        console.show(*map(text_output.join, found), *map(text_output.twin, alike))
    if not found:
        console.say("no class is joined to another")


def _change(asked: CommandLine, source: str | None, target: str | None, remove: str | None) -> int:
    from learnd.control.knowledge.change_requests import ask

    settings = asked.settings()
    with json_output.opened(settings):  # or say that there is nothing yet
        pass
    if remove is not None:
        return ask(settings, "part", json.dumps([remove])).version
    return ask(settings, "alias", json.dumps([source, target])).version
