"""`learnd doctor`: is everything in order here?"""

from __future__ import annotations

import dataclasses

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
    """Look at the installation, the settings, the folders, the state and a worker; exit code 1 if something is wrong.

    \b
    Examples:
      learnd doctor
      learnd doctor --json | jq '.checks[] | select(.status != "ok")'
    """
    findings: list[Finding] = []
    with screen.progress("looking at everything: this starts a worker") as progress:
        for finding in examine(asked, progress):
            findings.append(finding)
    fine = all(finding.status != "fail" for finding in findings)
    if as_json:
        screen.print_json({"ok": fine, "checks": [dataclasses.asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            status = click.style(f"{finding.status:<5}", fg=COLOURS[finding.status])
            click.echo(f"{status} {finding.subject:<10} {printable(finding.text)}")
            if finding.remedy:
                click.echo(f"{'':<16} -> {finding.remedy}")
    return 0 if fine else 1
