"""`learnd status`, `tasks` and `show`: what is known of a state, whether or not its daemon runs."""

from __future__ import annotations

import click

from learnd.face import screen, snapshot, wording
from learnd.face.options import Asked, Command, complete_task, json_option, pass_asked
from learnd.identity import label


@click.command(cls=Command)
@json_option
@pass_asked
def status(asked: Asked, as_json: bool) -> None:
    """Say what the daemon does, and how much is known.

    \b
    Examples:
      learnd status
      learnd status --json | jq .counts.learned
    """
    data = snapshot.status(asked.settings())
    if as_json:
        screen.print_json(data)
        return
    for what, text in wording.status(data):
        click.echo(f"{what:<10} {text}")


@click.command(cls=Command)
@json_option
@pass_asked
def tasks(asked: Asked, as_json: bool) -> None:
    """List every revision of every task, with its state.

    \b
    Examples:
      learnd tasks
      learnd tasks --json | jq -r '.tasks[] | select(.state == "failed") | .name'
    """
    settings = asked.settings()
    with snapshot.journal_if_any(settings) as journal:
        rows = snapshot.tasks(journal.tasks.all()) if journal else []
    if as_json:
        screen.print_json({"tasks": rows})
    elif rows:
        from learnd.face import report

        screen.show(report.tasks(rows))
    else:
        screen.say(f"no task yet: copy folders of labelled images into {settings.tasks}")


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@json_option
@pass_asked
def show(asked: Asked, task: str, as_json: bool) -> None:
    """Tell all about one task: each revision, the algorithms that were tried, every problem, what happened.

    \b
    Examples:
      learnd show birds
      learnd show birds --json | jq '.revisions[-1].report.candidates'
    """
    settings, name = asked.settings(), label(task)
    with snapshot.journal_if_any(settings) as journal:
        snapshot.known_task(journal, name)
        assert journal is not None  # without one no task is known
        data = snapshot.task(settings, journal, name)
    if as_json:
        screen.print_json(data)
        return
    from learnd.face import report

    screen.show(*report.task(data))
