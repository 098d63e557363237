"""`learnd config`: every setting and where it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from learnd.errors import SettingsError
from learnd.ui.options import Command, CommandLine, Word, json_option, pass_asked
from learnd.ui.views import console

if TYPE_CHECKING:
    pass


@click.command(cls=Command)
@click.argument("action", type=Word(["show", "validate"]), default="show")
@json_option
@pass_asked
def config(asked: CommandLine, action: str, as_json: bool) -> int:
    """Show every setting and where it comes from, or validate the settings.

    \b
    Examples:
      learnd config                       every value, and where it comes from
      learnd config validate              list every mistake; exit code 2 if there is one
      LEARND_WATCH__BACKEND=polling learnd config show
    """
    if action == "validate":
        return _validate(asked, as_json)
    from learnd.settings.loading import flatten

    settings = asked.settings()
    source = str(settings.source) if settings.source else None
    if as_json:
        rows = [{"key": s.key, "value": s.value, "origin": s.origin, "help": s.help} for s in flatten(settings)]
        console.print_json({"source": source, "settings": rows})
        return 0
    table = console.columns("key", "value", "from", flexible="value")
    for setting in flatten(settings):
        table.add_row(setting.key, _plain(setting.value), setting.origin, style="dim" * (setting.origin == "default"))
    console.show(table)
    return 0


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _validate(asked: CommandLine, as_json: bool) -> int:
    try:
        settings = asked.settings()
    except SettingsError as error:
        if not as_json:
            raise
        problems = [{"where": one.where, "what": one.what, "remedy": one.remedy} for one in error.each]
        console.print_json({"valid": False, "source": None, "problems": problems})
        return error.exit_code
    source = str(settings.source) if settings.source else None
    if as_json:
        console.print_json({"valid": True, "source": source, "problems": []})
    else:
        click.echo(f"{source or 'no config.yaml here, the defaults'}: in order")
    return 0
