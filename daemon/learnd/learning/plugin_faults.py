"""Who is to blame for what was raised while a plugin was at work, and how that is said."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable

import torch

from learnd.errors import LearndError
from learnd.messages.report import CandidateOutcome


def accuse(error: BaseException) -> None:
    """Raises it again where no plugin did: a Ctrl-C, in a process that hears of one.

    Anything else is the plugin's, KeyboardInterrupt and GeneratorExit included: workers ignore SIGINT.
    """
    if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        raise error


def explain(name: str, error: BaseException, log: Callable[[str], None]) -> str:
    """One line for the report; a stranger's traceback goes to the log."""
    if isinstance(error, LearndError):
        return error.what
    log(f"{name}:\n{''.join(traceback.format_exception(error)).rstrip()}")
    return traceback.format_exception_only(error)[-1].strip()


def outcome_of(error: BaseException) -> CandidateOutcome:
    """Return what becomes of a candidate that raised this: OUT_OF_MEMORY is the machine's fault, FAILED its own."""
    # On a CPU, torch says so in words alone.
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    if on_cpu or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return CandidateOutcome.OUT_OF_MEMORY
    return CandidateOutcome.FAILED
