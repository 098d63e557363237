"""Memory that a loop lets go and takes again, step after step.

glibc hands a large piece back to the system as soon as it is let go, and the system clears every page of it before it
gives it again; in a virtual machine that is a tenth of a training of a small CNN, and with two threads a quarter.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM, LARGE, ARENAS = -1, -3, -8  # the names of mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX
MAX_KEPT_BYTES = 32 * 1024**2  # bytes: the largest piece that glibc will not hand back at once
KEPT = {LARGE: MAX_KEPT_BYTES, TRIM: 1024**3, ARENAS: 1}  # a thread's own arena is handed back whenever it is empty
USUAL = {LARGE: MAX_KEPT_BYTES, TRIM: 2 * MAX_KEPT_BYTES, ARENAS: 0}  # where glibc comes to by itself


def has_mallopt() -> bool:
    return _libc() is not None


@contextmanager
def kept() -> Iterator[None]:
    """Within, up to 1 GB that was let go stays with the process; after it, it goes.  Without glibc nothing is done."""
    libc = _libc()
    if libc is None:
        yield
        return
    _set(libc, KEPT)
    try:
        yield
    finally:
        _set(libc, USUAL)
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)
