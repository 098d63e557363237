"""`learnd forget`: forget a task for good."""

from __future__ import annotations

import sys

import click

from learnd.errors import UsageError
from learnd.identity import label
from learnd.ui.commands.knowledge.change import request_change
from learnd.ui.options import Command, CommandLine, complete_task, json_option, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_asked
def forget(asked: CommandLine, task: str, yes: bool, as_json: bool) -> int:
    """Forget a task for good: remove everything that was learned from it, from every version.

    Its folder stays as it is.  The daemon learns it again only if it changes, or after learnd retry TASK.

    \b
    Examples:
      learnd forget birds
      learnd forget birds --yes --json
    """
    settings, name = asked.settings(), label(task)
    with json_output.journal_if_any(settings) as journal:
        json_output.known_task(journal, name)
    if not yes and not _confirmed(name):
        console.say("nothing was forgotten")
        return 1
    done = request_change(asked, "forget", name)
    if as_json:
        console.print_json({"task": name, "version": done["version"], "duplicates": done["duplicates"]})
        return 0
    console.say(f"{name} is forgotten; the knowledge is version {done['version']}")
    for twin in done["duplicates"]:
        console.say(f"{twin} is a folder of the same content, not learnt so far: learnd retry {twin} learns it")
    return 0


def _confirmed(name: str) -> bool:
    """Raises UsageError if there is nobody to ask."""
    if not sys.stdin.isatty():
        raise UsageError("cannot ask whether you are sure: there is no terminal", remedy="add --yes")
    try:
        return click.confirm(f"This removes everything that was learned from {name}, for good. Forget it?", err=True)
    except click.Abort:
        return False
