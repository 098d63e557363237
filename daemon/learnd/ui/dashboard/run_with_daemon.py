"""`learnd run` on a terminal: the daemon in a child process, and the dashboard as long as it runs.

A slow terminal never slows the daemon.  However the dashboard ends, the daemon shuts down in order.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO

from learnd.identity import printable
from learnd.settings.keys import Settings
from learnd.ui.dashboard.app import show
from learnd.ui.dashboard.keys import DashboardView
from learnd.ui.dashboard.symbols import SymbolSet

LINES = 12  # of the daemon's output, printed when it has ended
_PR_SET_PDEATHSIG = 1  # prctl(2)


def host(settings: Settings, arguments: Sequence[str], *, ascii: bool) -> int:
    """Run `learnd` with these arguments until it ends or the user quits.  Returns its exit code."""
    said: deque[str] = deque(maxlen=LINES)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "learnd", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C and Ctrl-Z are for the dashboard
        preexec_fn=_end_with_parent,
        text=True,
        errors="backslashreplace",
    )
    assert daemon.stdout is not None
    listener = threading.Thread(target=_listen, args=(daemon.stdout, said), name="listen", daemon=True)
    listener.start()
    try:
        show(settings, DashboardView(owner=True), SymbolSet(ascii), running=lambda: daemon.poll() is None)
    finally:
        if daemon.poll() is None:
            print("stopping the daemon ...", file=sys.stderr, flush=True)
            daemon.terminate()
        code = daemon.wait()
        listener.join()
        for line in said:
            print(printable(line), file=sys.stderr)
    return code if code >= 0 else 128 - code


def _end_with_parent() -> None:
    """Send SIGTERM to the daemon if the dashboard is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _listen(stream: IO[str], said: deque[str]) -> None:
    for line in stream:
        said.append(line.rstrip("\n"))
