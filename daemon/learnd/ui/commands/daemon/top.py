"""`learnd top`: the dashboard, a reader of the journal that comes and goes as it likes."""

from __future__ import annotations

import sys

import click

from learnd.ui.options import Command, CommandLine, json_option, pass_asked


@click.command(cls=Command)
@click.option("--readonly", is_flag=True, help="Disable all keys that change something.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters only, and escape all others.")
@json_option
@pass_asked
def top(asked: CommandLine, readonly: bool, ascii_only: bool, as_json: bool) -> int:
    """Open the dashboard: see what the daemon does and what it knows.  It does not slow the daemon down.

    Press ? to list its keys.  Without a terminal, or with --json, it prints one line per event instead.

    \b
    Examples:
      learnd top
      learnd top --readonly               on a screen on the wall
      learnd top --json | jq -r .message
    """
    from learnd.ui.dashboard import app
    from learnd.ui.dashboard.keys import DashboardView
    from learnd.ui.dashboard.symbols import SymbolSet, only_ascii
    from learnd.ui.dashboard.without_terminal import print_changes

    settings = asked.settings()
    if as_json or not app.can_draw():
        return print_changes(settings, as_json=as_json)
    plain = ascii_only or only_ascii(sys.stdout)
    return app.show(settings, DashboardView(readonly=readonly), SymbolSet(plain))
