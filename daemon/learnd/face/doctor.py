"""`learnd doctor`: is everything in order here?"""

from __future__ import annotations

import click

from learnd.face import screen
from learnd.face.checkup import Finding, examine
from learnd.face.options import Asked, Command, json_option, pass_asked
from learnd.face.wording import COLOURS
from learnd.identity import printable


@click.command(cls=Command)
@json_option
@pass_asked
def doctor(asked: Asked, as_json: bool) -> int:
    """Look at the installation, the settings, the folders, the state and a worker.

    The exit code is 0 if nothing is wrong, 2 for wrong settings, 3 for a damaged state, and 1 for anything else.

    \b
    Examples:
      learnd doctor
      learnd doctor --json | jq '.checks[] | select(.status != "ok")'
    """
    findings: list[Finding] = []
    with screen.progress("looking at everything: this starts a worker") as progress:
        for finding in examine(asked, progress):
            findings.append(finding)
    code = max((finding.exit_code for finding in findings if finding.status == "fail"), default=0)
    if as_json:
        checks = [{key: value for key, value in vars(one).items() if key != "exit_code"} for one in findings]
        screen.print_json({"ok": code == 0, "checks": checks})
    else:
        for finding in findings:
            status = click.style(f"{finding.status:<5}", fg=COLOURS[finding.status])
            click.echo(f"{status} {finding.subject:<10} {printable(finding.text)}")
            if finding.remedy:
                click.echo(f"{'':<16} -> {finding.remedy}")
    return code
