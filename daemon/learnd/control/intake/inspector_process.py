"""`python -m learnd.control.intake.inspector_process`: reads and decodes task folders in a process of its own.

A decoder that crashes, hangs or eats memory on a hostile file takes this process with it, not the daemon.
JSON lines: a hello first; then, for each request on stdin, any number of progress lines (each before the file
it names is opened, so that the last one says which file was to blame) and one answer. At the end of stdin it
exits at once.

    > {"inspect": "/abs/folder", "limits": {"min_images_per_class": 2, ...}, "readers": [".wav"]}
    < {"progress": {"done": 3, "total": 25, "path": "cats/4.png"}}
    < {"inspected": {...}}            an Inspection as JSON    or  {"failed": "reason"}
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO


def main() -> None:
    """Serve requests until stdin ends."""
    answers = _claim_stdout()
    _say(answers, {"hello": {"pid": os.getpid()}})
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    import learnd.control.intake.inspection  # noqa: F401  # while nobody waits

    while True:
        _say(answers, _answer(requests.get(), answers))


def _claim_stdout() -> BinaryIO:
    """The original stdout, for answers only: whatever a decoder prints goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _listen(requests: queue.SimpleQueue[bytes]) -> None:
    for line in iter(sys.stdin.buffer.readline, b""):
        requests.put(line)
    os._exit(0)  # the daemon is gone: even a decoder in the middle of a file has nobody left to answer to


def _say(answers: BinaryIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message).encode() + b"\n")
    answers.flush()


def _answer(line: bytes, answers: BinaryIO) -> dict[str, Any]:
    from learnd.control.intake.inspection import inspect
    from learnd.messages.convert import from_json, to_json
    from learnd.settings.keys import IntakeSettings

    def progress(done: int, total: int, path: str) -> None:
        _say(answers, {"progress": {"done": done, "total": total, "path": path}})

    try:
        request = json.loads(line)
        limits = from_json(IntakeSettings, request["limits"])
        readers = tuple(request.get("readers", ()))
        return {"inspected": to_json(inspect(Path(request["inspect"]), limits, progress, readers))}
    except Exception as error:  # a fault of ours, or memory that ran out: the parent's to know
        return {"failed": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
