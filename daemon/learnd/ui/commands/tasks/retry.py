"""`learnd retry`: try a task again.  The daemon, if it runs, sees it within a second."""

from __future__ import annotations

import click

from learnd.control.files.lock import holder_of
from learnd.identity import label
from learnd.ui.options import Command, CommandLine, complete_task, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@pass_asked
def retry(asked: CommandLine, task: str) -> None:
    """Try a failed, rejected, duplicate, skipped, undone or forgotten task again.

    \b
    Examples:
      learnd retry birds
    """
    settings, name = asked.settings(), label(task)
    with json_output.journal_if_any(settings) as journal:
        json_output.known_task(journal, name)
        assert journal is not None  # without one no task is known
        journal.tasks.retry(name)
    when = "the daemon takes it up now" if holder_of(settings.state) else "the daemon does so when it starts"
    console.say(f"{name} is to be tried again; {when}")
