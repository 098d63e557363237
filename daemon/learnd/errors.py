"""Errors that a person reads: what is wrong, where, and what to do about it.  No torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


class LearndError(Exception):
    """An error with a remedy.  The command line prints it without a traceback and exits with ``exit_code``."""

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  -> {self.remedy}" if self.remedy else text


class SettingsError(LearndError):
    """config.yaml, a ``LEARND_*`` variable, a flag or a task.yaml says something impossible.

    each: every mistake on its own, if there are several; else this one.
    """

    exit_code = 2

    def __init__(
        self, what: str, *, where: str | None = None, remedy: str | None = None, each: Sequence[SettingsError] = ()
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.each = tuple(each) or (self,)


class UsageError(LearndError):
    """A command was called in a way that makes no sense."""

    exit_code = 2


class StateError(LearndError):
    """The state is locked by another daemon, damaged, or was made with something else."""

    exit_code = 3


class StateUnavailable(StateError):
    """The state cannot be used now, as its disk is full or its rights are wrong.  Nothing is damaged: try again."""

    exit_code = 1


class ImageError(LearndError):
    """One image file that cannot be used, and why."""


class PluginError(LearndError):
    """A plugin broke its contract, or cannot do what was asked of it."""


class TaskError(LearndError):
    """A task folder that cannot be learnt as it stands."""


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; a LearndError is printed on stderr."""
    try:
        return command()
    except LearndError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
