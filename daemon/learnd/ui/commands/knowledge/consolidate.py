"""`learnd consolidate`: the shared network learns from what is kept, and passes the gate or is thrown away."""

from __future__ import annotations

import shutil
from contextlib import closing

import click

from learnd.control.dispatch.consolidation import ConsolidationEnd, Consolidator, have_daemon_consolidate
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
        ended = _done(settings, steps, progress)
    if ended.outcome == "failed":
        raise TaskError(f"nothing was consolidated: {ended.reasons[0]}")
    if as_json:
        verdict = {name: value for name, value in ended.verdict.items() if name != "reasons"}
        console.print_json(
            {"outcome": ended.outcome, "version": ended.version, "reasons": list(ended.reasons), **verdict}
        )
        return
    console.say(_said(ended))
    for reason in ended.reasons:
        console.say(f"  {reason}")


def _said(ended: ConsolidationEnd) -> str:
    verdict = ended.verdict
    numbers = (
        f"mean {verdict['before']:.4f} before, {verdict['after']:.4f} after, negative flips {verdict['flips']:.4f}"
    )
    if ended.outcome == "accepted":
        return f"accepted: the knowledge is version {ended.version} ({numbers})"
    return f"refused: the knowledge stays as it is, version {ended.version} ({numbers})"


def _done(settings: Settings, steps: int | None, progress: console.ProgressReport) -> ConsolidationEnd:
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


def _here(settings: Settings, steps: int | None, progress: console.ProgressReport) -> ConsolidationEnd:
    with hold(settings.state), closing(Journal(settings.state / JOURNAL, create=True)) as journal:
        generations = Generations(settings.state, journal, settings.knowledge.retention)
        generations.prepare()  # what an earlier kill left
        consolidator = Consolidator(settings, journal, generations, lambda _level, _text: None)
        spec = consolidator.spec(steps or settings.consolidate.steps)
        out = consolidator.folder / "out"
        try:
            out.mkdir(parents=True)
            with one_shot(settings, generations.backbone(settings.backbone), progress) as (worker, _hello):
                outcome = worker.do(spec, progress)
            ended = consolidator.settle(outcome, out)
        finally:
            shutil.rmtree(consolidator.folder, ignore_errors=True)
        assert ended is not None  # nobody wakes it
        return ended
