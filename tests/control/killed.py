"""What is left of a state when a rollback, a forgetting or a consolidation is killed, at each touch of the disk.

    python -m tests.control.killed STATE OUT rollback 1

copies the state into OUT/1, OUT/2, ...  In the n-th the work is done by a process that is killed at its n-th touch:
before each statement to SQLite, after each commit, and at each file or folder that is opened, made, renamed or removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from learnd.control.journal.database import Database
from learnd.control.knowledge.change_requests import Undoing
from tests.control.consolidations import consolidate
from tests.control.home import Home

TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


class Fate:
    """Counts touches, and kills this process at the last."""

    def __init__(self, touches: int) -> None:
        self._left = touches

    def touch(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(self, event: str, _arguments: tuple[Any, ...]) -> None:
        """As an audit hook."""
        if event in TOUCHES:
            self.touch()


def die_at(touches: int, state: Path, kind: str, argument: str) -> None:
    """Do it, in this process."""
    home, fate, run = Home(state), Fate(touches), Database.run

    def counted(db: Database, sql: str, *values: Any) -> int:
        fate.touch()
        changed = run(db, sql, *values)
        if sql == "COMMIT":
            fate.touch()
        return changed

    Database.run = counted  # type: ignore[method-assign]
    sys.addaudithook(fate.hear)
    if kind == "consolidate":
        consolidate(home, int(argument))
    else:
        Undoing(home.journal, home.generations).do(kind, argument)


def main(state: Path, out: Path, kind: str, argument: str) -> None:
    touches = 0
    while True:
        touches += 1
        shutil.copytree(state, out / str(touches))
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                continue
            raise SystemExit(os.waitstatus_to_exitcode(status))
        try:
            die_at(touches, out / str(touches), kind, argument)
        except BaseException:  # it must not go on in the parent's loop
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
