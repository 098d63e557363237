"""`learnd run`: the daemon."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

import click

from learnd.ui.options import Command, CommandLine, pass_asked
from learnd.ui.views import console


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="Learn the tasks that are there, then exit.  Exit code 1 if a task failed.")
@click.option("--no-dashboard", is_flag=True, help="Print plain lines even on a terminal.")
@pass_asked
def run(asked: CommandLine, once: bool, no_dashboard: bool) -> int:
    """Run the daemon: watch the tasks folder and learn each task in it.

    On a terminal it shows the dashboard; otherwise it prints one line per event.  Stop it with Ctrl-C or SIGTERM: the
    next start continues unfinished work.

    \b
    Examples:
      learnd run
      learnd run --once                   for scripts
      learnd run --backbone conv4 --state state-glyphs --tasks glyphs
    """
    from learnd.ui.dashboard import app

    settings = asked.settings()
    if not no_dashboard and app.can_draw():
        from learnd.ui.dashboard.run_with_daemon import host
        from learnd.ui.dashboard.symbols import only_ascii

        return host(settings, [*sys.argv[1:], "--no-dashboard"], ascii=only_ascii(sys.stdout))
    from learnd.control.service import Service

    return Service(settings, _line).run(once=once)


def _line(level: str, text: str) -> None:
    with suppress(OSError):  # a closed stderr: that nobody reads along is no reason to stop learning
        console.say(f"{time.strftime('%H:%M:%S')} {level:<7} {text}")
