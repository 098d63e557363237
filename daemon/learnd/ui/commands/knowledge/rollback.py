"""`learnd rollback`: restore an earlier version."""

from __future__ import annotations

import click

from learnd.ui.commands.knowledge.change import request_change
from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console


@click.command(cls=Command)
@click.argument("version", type=click.IntRange(min=1))
@json_option
@pass_asked
def rollback(asked: CommandLine, version: int, as_json: bool) -> None:
    """Restore an earlier version, exactly as it was.  It becomes a new version, so you can undo a rollback too.

    Tasks learned since then are undone.  The daemon does not learn them again until you run learnd retry TASK.
    Forgotten tasks stay forgotten.

    \b
    Examples:
      learnd versions && learnd rollback 12
    """
    done = request_change(asked, "rollback", str(version))
    if as_json:
        console.print_json(
            {name: done[name] for name in ("version", "undone", "restored", "without")} | {"as": version}
        )
        return
    console.say(f"the knowledge is what it was at version {version}; this is version {done['version']}")
    for what in ("undone", "restored"):
        if done[what]:
            console.say(f"{what}: {', '.join(done[what])}")
    if done["undone"]:
        console.say("learnd retry TASK learns what was undone again")
    if done["without"]:
        console.say(f"without what was forgotten since: {', '.join(done['without'])}")
