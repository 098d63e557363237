"""`learnd meta-train`: learn to learn, over many tasks, in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import queue
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from learnd.control.processes.child import GONE, Child, explain_exit
from learnd.control.processes.start import KEEP_MEMORY, devices
from learnd.errors import LearndError, UsageError
from learnd.messages.convert import to_json
from learnd.messages.jobs import BackboneSpec
from learnd.settings.keys import Settings
from learnd.settings.meta_training_recipe import AUGMENTATIONS, Corpus, DomainSpec, MetaTrainSpec, Recipe
from learnd.ui.options import Command, CommandLine, json_option, pass_asked
from learnd.ui.recipe_options import parse_option, recipe_options
from learnd.ui.views import console

PULSE = 0.5  # seconds between two looks at whether a signal has come
LINE_SECONDS = 10.0  # between two lines where no terminal is


@click.command("meta-train", cls=Command)
@click.option(
    "--algorithm",
    metavar="NAME",
    required=True,
    help="The algorithm to train: a plugin with an outer loop, or pretrain.",
)
@click.option(
    "--data",
    metavar="ROOT",
    multiple=True,
    required=True,
    help="Train on the classes of this folder or .zip; see above.",
)
@click.option("--out", metavar="FILE", help="Write the meta checkpoint to FILE.safetensors.")
@click.option(
    "--backbone-out", metavar="FILE", help="Write the trained network to FILE (metric methods and pretrain only)."
)
@click.option("--option", "options", metavar="NAME=VALUE", multiple=True, callback=parse_option,
              help="Set an option of the algorithm; overrides config.yaml.")  # fmt: skip
@click.option("--augment", type=click.Choice(AUGMENTATIONS), multiple=True, default=["none"],
              help="Augment images; give it once for all, or once for each --data.")  # fmt: skip
@click.option("--turns", type=click.Choice(["1", "2", "4"]), multiple=True, default=["1"],
              help="4: count a class rotated by 90 degrees as a new class. Once, or once for each --data.")  # fmt: skip
@click.option("--validation", metavar="ROOT", multiple=True, help="Validate on the classes of this folder or .zip.")
@click.option("--classes", metavar="FILE", help="Read the class names to train and validate on from this .json.")
@click.option("--held-back", type=click.FloatRange(0, 0.9), default=0.1, metavar="SHARE",
              help="Otherwise, validate on this share of the groups.  [default: 0.1]")  # fmt: skip
@click.option(
    "--side", type=click.IntRange(8, 1024), help="Train on images of this size in pixels, not the backbone's own."
)
@click.option("--per-class", type=click.IntRange(1), help="Use at most this many images per class.")
@click.option("--fresh", is_flag=True, help="Start from random weights.")
@click.option("--half", is_flag=True, help="Write float16, at half the size.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Use this many CPU threads.  [default: one per core]")
@click.option("--max-minutes", type=click.FloatRange(0), help="Stop after this many minutes and keep the result.")
@click.option("--restart", is_flag=True, help="Start from the beginning even if an unfinished training exists.")
@click.option(
    "--tensorboard", metavar="DIR", help="Write the curves to DIR for TensorBoard (needs the package tensorboard)."
)
@recipe_options
@json_option
@pass_asked
def meta_train(
    asked: CommandLine, /, as_json: bool, threads: int | None, max_minutes: float | None, **given: Any
) -> int:
    """Meta-train an algorithm, or a backbone, over many tasks (--backbone: as in config.yaml).

    A ROOT holds <class>/<image> or <group>/<class>/<image>. Each --data is one domain: a training task never mixes
    classes of two domains. A:B joins two roots to one domain. Validation classes are held back from --data, listed in
    --classes, or in --validation. To use a meta checkpoint, put it into the folder meta/ of plugins_dir; to use a
    backbone file, set --backbone NAME@FILE. Ctrl-C and SIGTERM keep a snapshot: run the same command again to continue.

    \b
    Examples:
      learnd meta-train --algorithm maml --backbone conv4 --data images_background.zip \\
          --augment glyphs --turns 4 --meta-batch 4 --out plugins/meta/maml-conv4.safetensors
      learnd meta-train --algorithm protonet --backbone conv4 --fresh --data images_background.zip \\
          --augment glyphs --turns 4 --ways 60 --queries 3 --backbone-out mine.safetensors
      learnd meta-train --algorithm pretrain --backbone conv4-rgb --fresh --data train.zip \\
          --validation val.zip --augment photographs --option images=256 --backbone-out rgb.safetensors
    """
    settings = asked.settings()
    spec = _spec(settings, max_minutes, given)
    with _progress(spec) as watch:
        ended = _follow(_process(spec, threads or os.cpu_count() or 1), watch)
    if as_json:
        console.print_json(ended)
    elif "done" in ended:
        _say_done(ended["done"])
    if "stopped" in ended:
        at = ended["stopped"]
        console.say(
            f"stopped at step {at['step']:,} of {at['steps']:,}: the same command goes on from {at['snapshot']}"
        )
        return int(ended["code"])
    return 0


def _spec(settings: Settings, max_minutes: float | None, given: dict[str, Any]) -> MetaTrainSpec:
    recipe = Recipe(**{field.name: given.pop(field.name) for field in dataclasses.fields(Recipe)})
    roots = given.pop("data")
    augment, turns = _each("--augment", given.pop("augment"), roots), _each("--turns", given.pop("turns"), roots)
    domains = tuple(
        DomainSpec(tuple(root.split(os.pathsep)), augmented, int(turned))
        for root, augmented, turned in zip(roots, augment, turns, strict=True)
    )
    corpus = Corpus(
        domains,
        split=given.pop("classes"),
        held_back=given.pop("held_back"),
        side=given.pop("side") or 0,
        per_class=given.pop("per_class") or 0,
        validation=tuple(tuple(root.split(os.pathsep)) for root in given.pop("validation")),
    )
    return MetaTrainSpec(
        corpus=corpus,
        recipe=recipe,
        backbone=BackboneSpec(settings.backbone),
        device=devices(settings)[0],
        seconds=None if max_minutes is None else 60 * max_minutes,
        plugins_dir=str(settings.plugins_dir),
        plugins=settings.plugins,
        command=shlex.join(["learnd", *sys.argv[1:]]),
        **given,
    )


def _each(flag: str, values: tuple[str, ...], roots: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) == 1:
        return values * len(roots)
    if len(values) != len(roots):
        what = f"{flag} is given {len(values)} times for {len(roots)} --data"
        raise UsageError(what, remedy="give it once for all, or once for each")
    return values


Process = Callable[[Callable[[Child, dict[str, Any]], None], Path], Child]


def _process(spec: MetaTrainSpec, threads: int) -> Process:
    def start(inbox: Callable[[Child, dict[str, Any]], None], folder: Path) -> Child:
        # Set before torch is imported: with the default policy, waiting OpenMP threads spin and starve each other.
        count = str(threads)
        torch_threads = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        command = [sys.executable, "-m", "learnd.learning.processes.meta_train"]
        child = Child("meta-train", command, folder / "meta-train.log", inbox, {**KEEP_MEMORY, **torch_threads})
        child.send(to_json(spec))
        return child

    return start


def _follow(start: Process, watch: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Its last message; where it was stopped by a signal, with the exit code for that.

    Raises LearndError if it failed.
    """
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="learnd-", ignore_cleanup_errors=True) as folder:
        child = start(lambda _child, message: inbox.put(message), Path(folder))
        try:
            with _forwarded(child) as heard:
                ended = _last(inbox, watch, child)
        finally:
            child.kill()
    return {**ended, "code": 128 + heard[0] if heard else 0} if "stopped" in ended else ended


def _last(
    inbox: queue.SimpleQueue[dict[str, Any]], watch: Callable[[dict[str, Any]], None], child: Child
) -> dict[str, Any]:
    while True:
        try:
            message = inbox.get(timeout=PULSE)  # a signal is seen between two waits
        except queue.Empty:
            continue
        if "failed" in message:
            error = LearndError(message["failed"])
            error.exit_code = message["code"]
            raise error
        if GONE in message:
            raise LearndError(f"the training {explain_exit(message[GONE])}\n{child.log_tail()}")
        if "done" in message or "stopped" in message:
            return message
        watch(message)


@contextmanager
def _forwarded(child: Child) -> Iterator[list[int]]:
    """Within, SIGINT and SIGTERM tell the training to stop, which takes until its step is done."""
    heard: list[int] = []

    def forward(number: int, _frame: object) -> None:
        heard.append(number)
        try:
            os.kill(child.pid, signal.SIGTERM)
        except ProcessLookupError:  # it has just ended by itself
            return

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(spec: MetaTrainSpec) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar with the time that is left on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        console.say(f"meta-training {spec.algorithm} on {spec.backbone.name}")
        yield _lines()
        return
    with console.progress(f"meta-training {spec.algorithm}: reading the images") as bar:
        seen = {"validation": ""}

        def show(message: dict[str, Any]) -> None:
            if "validation" in message:
                seen["validation"] = f", {_score(message['validation'])}"
            elif "at" in message:
                at = message["at"]
                bar(f"loss {at['loss']:.4f}{seen['validation']}, {_left(at)} left", at["step"], at["steps"])

        yield show


def _lines() -> Callable[[dict[str, Any]], None]:
    last = time.monotonic()

    def say(message: dict[str, Any]) -> None:
        nonlocal last
        if "validation" in message:
            score = message["validation"]
            console.say(f"step {score['step']:,}: {_score(score)} over {score['episodes']:,} tasks")
        elif "at" in message and time.monotonic() - last >= LINE_SECONDS:
            last, at = time.monotonic(), message["at"]
            console.say(f"step {at['step']:,} of {at['steps']:,}: loss {at['loss']:.4f}, {_left(at)} left")

    return say


def _score(score: dict[str, Any]) -> str:
    return f"validation {score['accuracy']:.4f} +- {score['interval']:.4f}"


def _left(at: dict[str, Any]) -> str:
    """The time left, as 1:02:03."""
    seconds = round(at["seconds"] / at["step"] * (at["steps"] - at["step"]))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _say_done(done: dict[str, Any]) -> None:
    for file in done["files"].values():
        click.echo(file)
    score = done["validation"]
    how = _score(score) if score else "not validated"
    console.say(f"step {done['step']:,} of {done['steps']:,} in {done['seconds'] / 60:.1f} minutes, {how}")
    if not done["finished"]:
        console.say(f"the time was up: the same command goes on from {done['snapshot']}")
