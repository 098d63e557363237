"""`learnd status`: what the daemon does, and how much is known."""

from __future__ import annotations

import click

from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, json_output, status_text


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
    data = json_output.status(asked.settings())
    if as_json:
        console.print_json(data)
        return
    for what, text in status_text.status(data):
        click.echo(f"{what:<10} {text}")
