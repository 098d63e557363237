"""`learnd skip`: leave a task alone.  The daemon, if it runs, sees it within a second."""

from __future__ import annotations

import click

from learnd.identity import label
from learnd.ui.options import Command, CommandLine, complete_task, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@pass_asked
def skip(asked: CommandLine, task: str) -> None:
    """Do not learn a task until learnd retry.  A running job stops; the folder stays as it is.

    \b
    Examples:
      learnd skip birds
    """
    settings, name = asked.settings(), label(task)
    with json_output.journal_if_any(settings) as journal:
        json_output.known_task(journal, name)
        assert journal is not None  # without one no task is known
        journal.tasks.skip(name)
    console.say(f"{name} is skipped; learnd retry {name} takes it up again")
