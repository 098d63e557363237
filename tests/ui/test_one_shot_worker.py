"""The worker for one question: what it says is heard, and no answer is waited for that will never come."""

from __future__ import annotations

import queue
import sys
from pathlib import Path
from typing import Any

import pytest

from learnd.control.processes.child import Child
from learnd.errors import LearndError
from learnd.messages.jobs import PredictSpec
from learnd.ui.one_shot_worker import OneShot

FULL = """
import json, sys
sys.stdin.readline()
print(json.dumps({"unwritten": "[Errno 28] No space left on device"}), flush=True)
sys.stdin.readline()
"""


def test_an_answer_that_finds_no_room_is_an_error_at_once(tmp_path: Path) -> None:
    """The worker lives on and says no more: without a look at what it said, this waits for a minute."""
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    child = Child("worker", [sys.executable, "-c", FULL], tmp_path / "log", lambda _, message: inbox.put(message))
    room = tmp_path / "room"
    room.mkdir()
    try:
        with pytest.raises(LearndError, match=r"the answer cannot be written .*No space left on device") as error:
            OneShot(child, inbox, room).do(PredictSpec((), (), None, 1, str(room / "out")), lambda *_: None)
    finally:
        child.kill()
    assert str(tmp_path) in (error.value.remedy or "")
