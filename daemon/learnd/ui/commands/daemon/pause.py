"""`learnd pause`: stop starting new jobs."""

from __future__ import annotations

import click

from learnd.control.files.lock import require_daemon
from learnd.ui.options import Command, CommandLine, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@pass_asked
def pause(asked: CommandLine) -> None:
    """Stop starting new jobs, until learnd resume or the next start of the daemon.

    Running jobs finish.  The daemon still watches and checks folders, and predict still works.

    \b
    Examples:
      learnd pause && make-backup state && learnd resume
    """
    settings = asked.settings()
    require_daemon(settings.state)
    with json_output.opened(settings) as journal:
        journal.pause()
        busy = [row.task for row in journal.workers() if row.task is not None]
    console.say("paused" + (f"; still being learnt: {', '.join(busy)}" if busy else ""))
