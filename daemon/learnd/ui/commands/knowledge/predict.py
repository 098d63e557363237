"""`learnd predict`: what is on these images?  Among everything ever learnt, or within one task."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from learnd.errors import StateError, TaskError
from learnd.identity import label, printable
from learnd.messages.convert import Json
from learnd.messages.jobs import BackboneSpec, HeadFile, Member, PredictSpec
from learnd.messages.outcomes import PROBABILITY_DIGITS, OutcomeStatus, Prediction
from learnd.settings.keys import Settings
from learnd.ui.options import Command, CommandLine, complete_task, json_option, pass_asked
from learnd.ui.views import console, json_output


@dataclass(frozen=True)
class _Knowledge:
    """What there is to ask: the members of one version of the knowledge, and the CNN that they share."""

    version: int
    members: tuple[Member, ...]
    backbone: BackboneSpec
    readers: tuple[str, ...]  # extensions of files that plugins read
    head: HeadFile | None  # ready made, if nobody names a task


@click.command(cls=Command)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "--task", metavar="NAME", shell_complete=complete_task, help="Choose only among the classes of this task."
)
@click.option(
    "--top",
    metavar="N",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Show the N most likely classes.",
)
@json_option
@pass_asked
def predict(asked: CommandLine, images: tuple[str, ...], task: str | None, top: int, as_json: bool) -> int:
    """Classify images, or every image in a folder, among all classes ever learned.

    An image that cannot be read does not stop the others; the exit code is then 1.

    \b
    Examples:
      learnd predict photo.jpg
      learnd predict --task birds --top 5 new/
      learnd predict new/*.png --json | jq -r '.predictions[] | [.image, .class, .probability] | @tsv'
    """
    settings = asked.settings()
    name = None if task is None else label(task)
    known = _knowledge(settings, name)
    paths = [path for image in images for path in _files(image, known.readers)]
    try:
        predictions = _ask(settings, known, paths, name, top)
    except StateError:
        if (now := _knowledge(settings, name)).version == known.version:
            raise
        known = now  # meanwhile a task was forgotten, and its files are gone
        predictions = _ask(settings, known, paths, name, top)
    data: Json = {"knowledge_version": known.version, "predictions": [_prediction(one) for one in predictions]}
    if as_json:
        console.print_json(data)
    else:
        _show(data["predictions"])
    return 1 if any(one.error for one in predictions) else 0


def _knowledge(settings: Settings, task: str | None) -> _Knowledge:
    """Raises UsageError for a task that nobody knows, TaskError if it, or anything at all, is not learnt."""
    from learnd.control.knowledge.generations import Generations

    with json_output.journal_if_any(settings) as journal:
        if task is not None:
            json_output.known_task(journal, task)
        if journal is None or not journal.size().tasks:
            remedy = f"copy a folder of labelled images into {settings.tasks}, and start: learnd run"
            nothing = "nothing has been learnt yet" if journal is None or not journal.head else "all was forgotten"
            raise TaskError(nothing, remedy=remedy)
        generations = Generations(settings.state, journal)
        members = generations.members(task)
        if task is not None and not members:
            state = journal.tasks.revisions(task)[-1].state
            raise TaskError(f"{task!r} is {state}: there is nothing to ask yet", remedy=f"learnd show {task}")
        head = generations.head_file() if task is None else None
        return _Knowledge(journal.head, members, generations.backbone(settings.backbone), journal.readers(), head)


def _files(image: str, readers: tuple[str, ...]) -> list[str]:
    """The image, or those in the folder and below it, sorted; paths as a person would write them."""
    from learnd.control.intake.folder_scan import is_ignored, is_image

    folder = Path(image)
    if not os.path.isdir(folder):  # no error, whatever it is called
        return [image]
    found = sorted(
        str(path)
        for path in folder.rglob("*")
        if is_image(path.name, readers) and not any(map(is_ignored, path.relative_to(folder).parts)) and path.is_file()
    )
    return found or [image]  # that it holds no image is said in its place


def _ask(settings: Settings, known: _Knowledge, paths: Sequence[str], task: str | None, top: int) -> list[Prediction]:
    """The answers, in the order of paths, with the paths as given.  No worker starts where no file is there."""
    answers = {path: Prediction(path, (), error=_missing(path)) for path in paths}
    there = [path for path, answer in answers.items() if answer.error is None]
    if there:
        answers.update(zip(there, _ask_worker(settings, known, there, task, top), strict=True))
    return [answers[path] for path in paths]


def _missing(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "there is no image in this folder"
    return None if stat.S_ISREG(mode) else "is no regular file (a pipe, a socket or a device)"  # it may never end


def _ask_worker(
    settings: Settings, known: _Knowledge, paths: Sequence[str], task: str | None, top: int
) -> list[Prediction]:
    from learnd.ui.one_shot_worker import one_shot

    with (
        console.progress(f"loading {known.backbone.name}") as progress,
        one_shot(settings, known.backbone, progress) as (worker, _hello),
    ):
        places = tuple(str(Path(path).absolute()) for path in paths)
        spec = PredictSpec(places, known.members, task, top, str(worker.folder / "out"), known.head)
        outcome = worker.do(spec, progress)
    if outcome.status is not OutcomeStatus.DONE:
        kind = StateError if outcome.status is OutcomeStatus.DAMAGED else TaskError
        raise kind(f"the question could not be answered: {outcome.reason}")
    return [replace(one, image=path) for path, one in zip(paths, outcome.predictions, strict=True)]


def _prediction(one: Prediction) -> Json:
    """As in `learnd predict --json`; error is there only if there is one."""
    top = [
        {"task": guess.task, "class": guess.class_name, "probability": round(guess.probability, PROBABILITY_DIGITS)}
        for guess in one.top
    ]
    best = top[0] if top else {"task": None, "class": None, "probability": None}
    error = {"error": one.error} if one.error else {}
    return {"image": one.image, **best, "unknown": one.unknown, "top": top, **error}


def _show(predictions: Sequence[Json]) -> None:
    names = ("image", "class", "task", "probability", "otherwise")
    table = console.columns(*names, flexible="otherwise", right=("probability",))
    for one in predictions:
        image = printable(one["image"])
        if "error" in one:
            table.add_row(image, console.coloured("error"), "", "", printable(one["error"]))
            continue
        others = ", ".join(f"{_name(guess, one['task'])} {guess['probability']:.3f}" for guess in one["top"][1:])
        unsure = " (unknown?)" if one["unknown"] else ""
        table.add_row(
            image, printable(one["class"]) + unsure, printable(one["task"]), f"{one['probability']:.3f}", others
        )
    console.show(table)


def _name(guess: Json, task: str) -> str:
    """The class of another guess; with its task, where that is another one."""
    return printable(guess["class"] if guess["task"] == task else f"{guess['task']}/{guess['class']}")
