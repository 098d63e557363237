"""`learnd`: the commands by name.  The module of a command is imported when it is asked for, and not for --help."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import click
from click.shell_completion import shell_complete

from learnd import __version__
from learnd.errors import LearndError
from learnd.face.options import COMPLETE, Guessing, general_options


class Entry(NamedTuple):
    """A command: the module of learnd.face that holds it, and what it is for."""

    module: str
    help: str


COMMANDS = {
    "init": Entry("starting", "Write a config.yaml with every key, and make the folders."),
    "run": Entry("starting", "Run the daemon: watch, learn, remember."),
    "top": Entry("top", "The dashboard: watch what it does and what it knows."),
    "status": Entry("overview", "What the daemon does, and how much is known."),
    "tasks": Entry("overview", "Every task, with its state."),
    "show": Entry("overview", "All about one task: how it was learnt, or why not."),
    "check": Entry("checking", "Is this folder fit to be a task?"),
    "predict": Entry("asking", "What is on these images?"),
    "retry": Entry("tending", "Try a failed, rejected, skipped or forgotten task again."),
    "skip": Entry("tending", "Leave a task alone."),
    "pause": Entry("pausing", "Begin no new job for now."),
    "resume": Entry("pausing", "Begin jobs again."),
    "versions": Entry("undoing", "What the knowledge was, version by version."),
    "history": Entry("history", "How well every task was told, version by version."),
    "report": Entry("reporting", "One HTML page about everything that is known."),
    "rollback": Entry("undoing", "Make the knowledge what it was at an earlier version."),
    "consolidate": Entry("consolidating", "Let the shared network learn from what is kept of all tasks."),
    "alias": Entry("aliasing", "Answer a class of one task as a class of another."),
    "forget": Entry("undoing", "Forget a task for good."),
    "plugins": Entry("plugins", "The algorithms that can be chosen from."),
    "meta-train": Entry("metatraining", "Learn to learn: train an algorithm or a backbone over many tasks."),
    "examples": Entry("starting", "Real task folders to try."),
    "doctor": Entry("doctor", "Is everything in order here?"),
    "config": Entry("checking", "The settings, and where each is from."),
    "completion": Entry("starting", "Print the completion script of a shell."),
}

HELP = """A daemon that never stops learning: drop a folder of labelled images into tasks/, ask about new ones.

\b
Examples:
  learnd init && learnd run           start here: then copy folders into tasks/
  learnd examples photos tasks        a real task to try
  learnd predict photo.jpg            what is on it?
  learnd tasks                        what has been learnt, and what has not

\b
Exit codes: 0 fine, 1 some task failed or was rejected, or it cannot be done now
(a full disk, a missing right) and nothing is damaged, 2 wrong usage or settings,
3 the state is locked or damaged."""


class _Commands(Guessing):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"learnd.face.{COMMANDS[cmd_name].module}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


def learnd() -> click.Group:
    """The command line as a whole."""
    version = click.version_option(__version__, prog_name="learnd", message="%(prog)s %(version)s")
    return version(_Commands("learnd", help=HELP, params=general_options()))


def _run(arguments: list[str]) -> int:
    # Not click's own main: for a closed pipe it exits with 1, which here means that a task failed.
    command = learnd()
    if instruction := os.environ.get(COMPLETE):
        return shell_complete(command, {}, "learnd", COMPLETE, instruction)
    colour = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
    try:
        with command.make_context("learnd", arguments, color=colour) as ctx:
            return int(command.invoke(ctx) or 0)
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code.  What a person can mend is said without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that is no UTF-8 must not end a command
    try:
        return _code(sys.argv[1:] if arguments is None else list(arguments))
    finally:
        _let_go()


def _code(arguments: list[str]) -> int:
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except click.ClickException as error:
        return _complain(error.show, error.exit_code)
    except LearndError as error:
        said = f"error: {error}"
        return _complain(lambda: click.echo(said, err=True), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        return 141
    except OSError as error:
        said = f"error: {error.filename or 'the system'}: {error.strerror or error}"
        return _complain(lambda: click.echo(said, err=True), 1)


def _complain(say: Callable[[], None], code: int) -> int:
    with suppress(OSError):  # nobody reads stderr: the exit code says it still
        say()
    return code


def _let_go() -> None:
    """What an output whose reader is gone still holds is dropped: the flush at exit would change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
