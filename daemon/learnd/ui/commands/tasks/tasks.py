"""`learnd tasks`: every revision of every task, with its state."""

from __future__ import annotations

import click

from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@json_option
@pass_asked
def tasks(asked: CommandLine, as_json: bool) -> None:
    """List every revision of every task, with its state.

    \b
    Examples:
      learnd tasks
      learnd tasks --json | jq -r '.tasks[] | select(.state == "failed") | .name'
    """
    settings = asked.settings()
    with json_output.journal_if_any(settings) as journal:
        rows = json_output.tasks(journal.tasks.all()) if journal else []
    if as_json:
        console.print_json({"tasks": rows})
    elif rows:
        from learnd.ui.views import text_output

        console.show(text_output.tasks(rows))
    else:
        console.say(f"no task yet: copy folders of labelled images into {settings.tasks}")
