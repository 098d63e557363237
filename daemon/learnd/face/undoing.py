"""`learnd versions`, `rollback` and `forget`: what the knowledge was, and the ways back."""

from __future__ import annotations

import sys
from typing import Any

import click

from learnd.face import screen, snapshot
from learnd.face.options import Asked, Command, complete_task, json_option, pass_asked
from learnd.identity import label

Json = dict[str, Any]


@click.command(cls=Command)
@json_option
@pass_asked
def versions(asked: Asked, as_json: bool) -> None:
    """List every version of the knowledge that is kept, the newest first: what each changed, and what it held in all.

    \b
    Examples:
      learnd versions
      learnd versions --json | jq '.versions[] | select(.head)'
    """
    with snapshot.journal_if_any(asked.settings()) as journal:
        found = snapshot.versions(journal) if journal else []
        decisions = snapshot.decisions(journal) if journal else []
    if as_json:
        screen.print_json({"versions": found, "decisions": decisions})
    elif found:
        from learnd.face import report

        screen.show(report.versions(found))
        if decisions:
            screen.show(report.decisions(decisions))
    else:
        screen.say("no version yet: nothing has been learnt")


@click.command(cls=Command)
@click.argument("version", type=click.IntRange(min=1))
@json_option
@pass_asked
def rollback(asked: Asked, version: int, as_json: bool) -> None:
    """Make the knowledge what it was at an earlier version.  A rollback to a later one brings back what came after it.

    What was learnt since is undone, and not learnt by itself again: learnd retry TASK does that.  What was forgotten
    since stays forgotten.

    \b
    Examples:
      learnd versions && learnd rollback 12
    """
    done = _ask(asked, "rollback", str(version))
    if as_json:
        screen.print_json({name: done[name] for name in ("version", "undone", "restored", "without")} | {"as": version})
        return
    screen.say(f"the knowledge is what it was at version {version}; this is version {done['version']}")
    for what in ("undone", "restored"):
        if done[what]:
            screen.say(f"{what}: {', '.join(done[what])}")
    if done["undone"]:
        screen.say("learnd retry TASK learns what was undone again")
    if done["without"]:
        screen.say(f"without what was forgotten since: {', '.join(done['without'])}")


@click.command(cls=Command)
@click.argument("task", shell_complete=complete_task)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_asked
def forget(asked: Asked, task: str, yes: bool, as_json: bool) -> int:
    """Forget a task for good: all that was learnt of it goes, from every version, as if it had never been learnt.

    Its folder stays as it is, and is not learnt again until it changes, or learnd retry TASK asks for it.

    \b
    Examples:
      learnd forget birds
      learnd forget birds --yes --json
    """
    settings, name = asked.settings(), label(task)
    with snapshot.journal_if_any(settings) as journal:
        snapshot.known_task(journal, name)
    if not yes and not _confirmed(name):
        screen.say("nothing was forgotten")
        return 1
    done = _ask(asked, "forget", name)
    if as_json:
        screen.print_json({"task": name, "version": done["version"], "duplicates": done["duplicates"]})
        return 0
    screen.say(f"{name} is forgotten; the knowledge is version {done['version']}")
    for twin in done["duplicates"]:
        screen.say(f"{twin} is a folder of the same content, not learnt so far: learnd retry {twin} learns it")
    return 0


def _confirmed(name: str) -> bool:
    """Raises UsageError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on whether you are sure: say --yes")
    try:
        return click.confirm(f"All that was learnt of {name} goes for good. Forget it?", err=True)
    except click.Abort:
        return False


def _ask(asked: Asked, kind: str, argument: str) -> Json:
    from dataclasses import asdict

    from learnd.control.undoing import ask

    settings = asked.settings()
    with snapshot.opened(settings):  # or say that there is nothing yet
        pass
    return asdict(ask(settings, kind, argument))
