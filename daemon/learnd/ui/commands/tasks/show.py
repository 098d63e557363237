"""`learnd show`: all about one task."""

from __future__ import annotations

import click

from learnd.identity import label
from learnd.ui.options import Command, CommandLine, complete_task, json_option, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@json_option
@pass_asked
def show(asked: CommandLine, task: str, as_json: bool) -> None:
    """Show everything about one task: its revisions, the algorithms that were tried, its problems and events.

    \b
    Examples:
      learnd show birds
      learnd show birds --json | jq '.revisions[-1].report.candidates'
    """
    settings, name = asked.settings(), label(task)
    with json_output.journal_if_any(settings) as journal:
        json_output.known_task(journal, name)
        assert journal is not None  # without one no task is known
        data = json_output.task(settings, journal, name)
    if as_json:
        console.print_json(data)
        return
    from learnd.ui.views import text_output

    console.show(*text_output.task(data))
