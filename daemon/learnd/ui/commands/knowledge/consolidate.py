"""`learnd consolidate`: the shared network learns from what is kept, and passes the gate or is thrown away."""

from __future__ import annotations

import shutil
from contextlib import closing

import click

from learnd.control.dispatch.consolidation import Sleep, Slept, have_daemon_consolidate
from learnd.control.files.lock import StateHeld, hold, holder_of
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.knowledge.generations import Generations
from learnd.errors import TaskError
from learnd.settings.keys import Settings
from learnd.ui.one_shot_worker import one_shot
from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.views import console, json_output


@click.command(cls=Command)
@click.option(
    "--steps", metavar="N", type=click.IntRange(min=1), help="Train for N steps.  [default: consolidate.steps]"
)
@json_option
@pass_asked
def consolidate(asked: CommandLine, steps: int | None, as_json: bool) -> None:
    """Train the shared network on the kept images of all tasks, then refit every task with it.

    The new network is accepted only if the mean accuracy rises and no task gets worse, on images that it was not
    trained on.  learnd versions lists the decision with its numbers, and learnd rollback restores the old network.  A
    running daemon first finishes all other jobs.

    \b
    Examples:
      learnd consolidate
      learnd consolidate --steps 400 --json
    """
    settings = asked.settings()
    with json_output.opened(settings):  # or say that there is nothing yet
        pass
    with console.progress("consolidating") as progress:
        slept = _done(settings, steps, progress)
    if slept.outcome == "failed":
        raise TaskError(f"nothing was consolidated: {slept.reasons[0]}")
    if as_json:
        verdict = {name: value for name, value in slept.verdict.items() if name != "reasons"}
        console.print_json(
            {"outcome": slept.outcome, "version": slept.version, "reasons": list(slept.reasons), **verdict}
        )
        return
    console.say(_said(slept))
    for reason in slept.reasons:
        console.say(f"  {reason}")


def _said(slept: Slept) -> str:
    verdict = slept.verdict
    numbers = (
        f"mean {verdict['before']:.4f} before, {verdict['after']:.4f} after, negative flips {verdict['flips']:.4f}"
    )
    if slept.outcome == "accepted":
        return f"accepted: the knowledge is version {slept.version} ({numbers})"
    return f"refused: the knowledge stays as it is, version {slept.version} ({numbers})"


def _done(settings: Settings, steps: int | None, progress: console.ProgressReport) -> Slept:
    while True:
        try:
            if holder_of(settings.state) is None:
                return _here(settings, steps, progress)
        except StateHeld:  # a daemon has just started
            continue
        progress("the daemon does it when nothing is left to learn", 0, 0)
        answer = have_daemon_consolidate(settings, steps, lambda: None)
        if answer is not None:
            return answer


def _here(settings: Settings, steps: int | None, progress: console.ProgressReport) -> Slept:
    with hold(settings.state), closing(Journal(settings.state / JOURNAL, create=True)) as journal:
        generations = Generations(settings.state, journal, settings.knowledge.retention)
        generations.prepare()  # what an earlier kill left
        sleep = Sleep(settings, journal, generations, lambda _level, _text: None)
        spec = sleep.spec(steps or settings.consolidate.steps)
        out = sleep.folder / "out"
        try:
            out.mkdir(parents=True)
            with one_shot(settings, generations.backbone(settings.backbone), progress) as (worker, _hello):
                outcome = worker.do(spec, progress)
            slept = sleep.settle(outcome, out)
        finally:
            shutil.rmtree(sleep.folder, ignore_errors=True)
        assert slept is not None  # nobody wakes it
        return slept
