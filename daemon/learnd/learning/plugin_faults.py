"""Who is to blame for what was raised while a plugin was at work, and how that is said."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable

import torch

from learnd.errors import LearndError

NO_MEMORY = "out of memory"  # an outcome, and the machine's fault rather than the plugin's


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


def outcome_of(error: BaseException) -> str:
    """What becomes of a candidate that raised this: "failed" | "out of memory"."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return NO_MEMORY
    # On a CPU, torch says so in words alone.
    return NO_MEMORY if isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error) else "failed"
