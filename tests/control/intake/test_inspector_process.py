"""The inspector is a process of its own that answers in JSON lines."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learnd.control.intake.inspection import Inspection, inspect
from learnd.messages.convert import from_json
from learnd.settings.keys import IntakeSettings
from tests.broken import good_task
from tests.patience import PATIENCE

LIMITS = IntakeSettings()


@pytest.fixture
def inspector() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "learnd.control.intake.inspector_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def ask(process: subprocess.Popen[str], request: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    message: dict[str, Any] = json.loads(process.stdout.readline())
    return message


def test_it_says_hello_and_then_what_inspect_says(inspector: subprocess.Popen[str], tmp_path: Path) -> None:
    task = good_task(tmp_path / "task")
    (task / "circles" / "bad.png").write_bytes(b"nothing of the kind")
    assert hear(inspector) == {"hello": {"pid": inspector.pid}}

    ask(inspector, {"inspect": str(task), "limits": dataclasses.asdict(LIMITS)})

    heard = [hear(inspector) for _ in range(10)]
    assert heard[0]["progress"] == {"done": 0, "total": 9, "path": "circles/0.png"}
    assert from_json(Inspection, heard[-1]["inspected"]) == inspect(task, LIMITS)


def test_a_request_it_cannot_serve_does_not_end_it(inspector: subprocess.Popen[str], tmp_path: Path) -> None:
    hear(inspector)
    ask(inspector, {"inspect": str(tmp_path), "limits": {"nonsense": 1}})
    assert "nonsense" in hear(inspector)["failed"]

    ask(inspector, {"inspect": str(tmp_path / "gone"), "limits": dataclasses.asdict(LIMITS)})
    assert hear(inspector)["inspected"]["problems"][0]["code"] == "no-such-folder"


def test_it_ends_with_its_parent(inspector: subprocess.Popen[str]) -> None:
    hear(inspector)
    assert inspector.stdin is not None
    inspector.stdin.close()
    assert inspector.wait(timeout=PATIENCE) == 0


def test_it_never_loads_the_learning_wing() -> None:
    code = (
        "import sys, learnd.control.intake.inspector_process, learnd.control.intake.inspection, learnd.settings;"
        "print([m for m in ('torch', 'numpy', 'PIL', 'watchdog', 'learnd.learning') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
