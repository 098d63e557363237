"""`learnd resume`: start new jobs again."""

from __future__ import annotations

import click

from learnd.control.files.lock import require_daemon
from learnd.ui.options import Command, CommandLine, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@pass_asked
def resume(asked: CommandLine) -> None:
    """Start new jobs again after learnd pause.

    \b
    Examples:
      learnd resume
    """
    settings = asked.settings()
    require_daemon(settings.state)
    with json_output.opened(settings) as journal:
        journal.resume()
    console.say("resumed: jobs begin again")
