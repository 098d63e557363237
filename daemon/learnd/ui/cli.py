"""`learnd`: the commands by name.  The module of a command is imported when it is asked for, and not for --help."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import click
from click.shell_completion import shell_complete

from learnd import __version__
from learnd.errors import LearndError, UsageError
from learnd.suggest import did_you_mean
from learnd.ui.options import COMPLETE, Guessing, general_options


class CommandEntry(NamedTuple):
    """A command: the package of learnd.ui.commands that holds its module, and what it is for."""

    package: str
    help: str


COMMANDS = {
    "init": CommandEntry("daemon", "Write a config.yaml with every key, and create the folders."),
    "run": CommandEntry("daemon", "Run the daemon: watch, learn, remember."),
    "top": CommandEntry("daemon", "Open the dashboard: see what the daemon does and what it knows."),
    "status": CommandEntry("daemon", "Show what the daemon does and how much it knows."),
    "pause": CommandEntry("daemon", "Stop starting new jobs."),
    "resume": CommandEntry("daemon", "Start new jobs again."),
    "config": CommandEntry("daemon", "Show every setting and where it comes from."),
    "doctor": CommandEntry("daemon", "Check the installation, the settings and the state."),
    "completion": CommandEntry("daemon", "Print the completion script for a shell."),
    "tasks": CommandEntry("tasks", "List every task with its state."),
    "show": CommandEntry("tasks", "Show everything about one task."),
    "check": CommandEntry("tasks", "Check whether a folder can be learned."),
    "retry": CommandEntry("tasks", "Try a failed, rejected, skipped or forgotten task again."),
    "skip": CommandEntry("tasks", "Do not learn a task."),
    "examples": CommandEntry("tasks", "Write an example task of real images."),
    "predict": CommandEntry("knowledge", "Classify images."),
    "versions": CommandEntry("knowledge", "List all versions of the learned state."),
    "history": CommandEntry("knowledge", "Show each task's accuracy at every version."),
    "report": CommandEntry("knowledge", "Write an HTML page about everything that is known."),
    "rollback": CommandEntry("knowledge", "Restore an earlier version."),
    "forget": CommandEntry("knowledge", "Forget a task for good."),
    "alias": CommandEntry("knowledge", "Answer a class of one task as a class of another."),
    "consolidate": CommandEntry("knowledge", "Train the shared network on the kept images of all tasks."),
    "plugins": CommandEntry("plugins", "List, check and create algorithm plugins."),
    "meta-train": CommandEntry("plugins", "Meta-train an algorithm or a backbone over many tasks."),
}
SECTIONS = {"daemon": "The daemon", "tasks": "Tasks", "knowledge": "Knowledge", "plugins": "Algorithms"}

PROGRAM_HELP = """Learn to classify images, one task after another: drop folders of labelled images into
tasks/, then ask about new images.

\b
Examples:
  learnd init && learnd run           start here, then copy folders into tasks/
  learnd examples photos tasks        write an example task
  learnd predict photo.jpg            classify an image
  learnd tasks                        list all tasks with their state

\b
Exit codes: 0 success; 1 a task failed or was rejected, or the machine does not
allow it now (disk full, no permission); 2 wrong usage or settings; 3 the state is
locked or damaged."""


def command_named(name: str) -> click.Command:
    """Import the command of this name."""
    function = name.replace("-", "_")
    module = importlib.import_module(f"learnd.ui.commands.{COMMANDS[name].package}.{function}")
    command = getattr(module, function)
    assert isinstance(command, click.Command)
    return command


class _Commands(Guessing):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_named(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for package, title in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items() if entry.package == package])


def learnd() -> click.Group:
    """The command line as a whole."""
    version = click.version_option(__version__, prog_name="learnd", message="%(prog)s %(version)s")
    return version(_Commands("learnd", help=PROGRAM_HELP, params=general_options()))


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
    """Run one command line and return its exit code.  A mistake that a person can correct has no traceback."""
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
        return _complain(_in_our_words(error))
    except LearndError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        return 141
    except OSError as error:
        return _complain(LearndError(error.strerror or str(error), where=str(error.filename or "the system")))


def _in_our_words(error: click.ClickException) -> LearndError:
    """What click says of a command line, in the form of every other mistake."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    program = ctx.command_path if ctx is not None else "learnd"
    remedy = f"see: {program} --help"
    if isinstance(error, click.NoSuchOption):
        what = f"there is no option {error.option_name}"
        return UsageError(what, remedy=did_you_mean(error.option_name, error.possibilities or (), remedy))
    what = error.format_message().rstrip(".")
    return UsageError(what[:1].lower() + what[1:], remedy=remedy)


def _complain(error: LearndError) -> int:
    """Print the mistake on stderr and return its exit code."""
    with suppress(OSError):  # if nobody reads stderr, the exit code still says it
        click.echo(f"error: {error}", err=True)
    return error.exit_code


def _let_go() -> None:
    """What an output whose reader is gone still holds is dropped: the flush at exit would change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
