"""`learnd versions`: all versions of the knowledge."""

from __future__ import annotations

import click

from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@json_option
@pass_asked
def versions(asked: CommandLine, as_json: bool) -> None:
    """List all versions of the learned state, the newest first: what each changed, and what it holds.

    \b
    Examples:
      learnd versions
      learnd versions --json | jq '.versions[] | select(.head)'
    """
    with json_output.journal_if_any(asked.settings()) as journal:
        found = json_output.versions(journal) if journal else []
        decisions = json_output.decisions(journal) if journal else []
    if as_json:
        console.print_json({"versions": found, "decisions": decisions})
    elif found:
        from learnd.ui.views import text_output

        console.show(text_output.versions(found))
        if decisions:
            console.show(text_output.decisions(decisions))
    else:
        console.say("no version yet: nothing has been learnt")
