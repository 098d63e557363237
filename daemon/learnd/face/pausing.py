"""`learnd pause` and `resume`: no new job begins, and then they do again."""

from __future__ import annotations

import click

from learnd.control.lock import holder_of
from learnd.errors import StateUnavailable
from learnd.face import screen, snapshot
from learnd.face.options import Asked, Command, pass_asked
from learnd.settings import Settings


@click.command(cls=Command)
@pass_asked
def pause(asked: Asked) -> None:
    """Let the daemon finish what it has in hand and begin nothing more, until learnd resume or its next start.

    Folders are still watched and checked, and questions are answered.

    \b
    Examples:
      learnd pause && make-backup state && learnd resume
    """
    settings = asked.settings()
    _require_daemon(settings)
    with snapshot.opened(settings) as journal:
        journal.pause()
        busy = [row.task for row in journal.workers() if row.task is not None]
    screen.say("paused" + (f"; still being learnt: {', '.join(busy)}" if busy else ""))


@click.command(cls=Command)
@pass_asked
def resume(asked: Asked) -> None:
    """Let a daemon that was paused go on.

    \b
    Examples:
      learnd resume
    """
    settings = asked.settings()
    _require_daemon(settings)
    with snapshot.opened(settings) as journal:
        journal.resume()
    screen.say("resumed: jobs begin again")


def _require_daemon(settings: Settings) -> None:
    """Raises StateUnavailable where none runs: a start resumes, so a pause would mean nothing."""
    if holder_of(settings.state) is None:
        remedy = "learnd run starts one"
        raise StateUnavailable("no daemon runs on this state", where=str(settings.state), remedy=remedy)
