"""`learnd status`: what the daemon does, and how much is known."""

from __future__ import annotations

import click

from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, state_data, wording


@click.command(cls=Command)
@json_option
@pass_asked
def status(asked: CommandLine, as_json: bool) -> None:
    """Show what the daemon does and how much it knows.

    \b
    Examples:
      learnd status
      learnd status --json | jq .counts.learned
    """
    data = state_data.status(asked.settings())
    if as_json:
        console.print_json(data)
        return
    for what, text in wording.status(data):
        click.echo(f"{what:<10} {text}")
