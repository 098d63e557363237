"""`learnd retry` and `skip`: what a person wishes for a task.  The daemon, if it runs, sees it within a second."""

from __future__ import annotations

import click

from learnd.control.lock import holder_of
from learnd.face import screen, snapshot
from learnd.face.options import Asked, Command, complete_task, pass_asked
from learnd.identity import label


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@pass_asked
def retry(asked: Asked, task: str) -> None:
    """Try a failed, rejected, duplicate, skipped, undone or forgotten task again.

    \b
    Examples:
      learnd retry birds
    """
    settings, name = asked.settings(), label(task)
    with snapshot.journal_if_any(settings) as journal:
        snapshot.known_task(journal, name)
        assert journal is not None  # without one no task is known
        journal.tasks.retry(name)
    when = "the daemon takes it up now" if holder_of(settings.state) else "the daemon does so when it starts"
    screen.say(f"{name} is to be tried again; {when}")


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@pass_asked
def skip(asked: Asked, task: str) -> None:
    """Leave a task alone until it is retried.  Work on it stops; its folder stays as it is.

    \b
    Examples:
      learnd skip birds
    """
    settings, name = asked.settings(), label(task)
    with snapshot.journal_if_any(settings) as journal:
        snapshot.known_task(journal, name)
        assert journal is not None  # without one no task is known
        journal.tasks.skip(name)
    screen.say(f"{name} is skipped; learnd retry {name} takes it up again")
