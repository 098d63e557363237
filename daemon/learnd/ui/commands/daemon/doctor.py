"""`learnd doctor`: is everything in order here?"""

from __future__ import annotations

import click

from learnd.identity import printable
from learnd.ui.doctor.checks import Diagnosis, examine
from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console
from learnd.ui.views.colours import COLOURS


@click.command(cls=Command)
@json_option
@pass_asked
def doctor(asked: CommandLine, as_json: bool) -> int:
    """Check the installation, the settings, the folders, the state and a worker.

    Exit codes: 0 all is well, 2 wrong settings, 3 a damaged state, 1 anything else.

    \b
    Examples:
      learnd doctor
      learnd doctor --json | jq '.checks[] | select(.status != "ok")'
    """
    findings: list[Diagnosis] = []
    with console.progress("checking everything (this starts a worker)") as progress:
        for finding in examine(asked, progress):
            findings.append(finding)
    code = max((finding.exit_code for finding in findings if finding.status == "fail"), default=0)
    if as_json:
        checks = [{key: value for key, value in vars(one).items() if key != "exit_code"} for one in findings]
        console.print_json({"ok": code == 0, "checks": checks})
    else:
        for finding in findings:
            status = click.style(f"{finding.status:<5}", fg=COLOURS[finding.status])
            click.echo(f"{status} {finding.subject:<10} {printable(finding.text)}")
            if finding.remedy:
                click.echo(f"{'':<16} -> {finding.remedy}")
    return code
