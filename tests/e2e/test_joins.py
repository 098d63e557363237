"""A task that extends another adds images to its classes, whichever of the two is learnt first."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeTask
from tests.live import LiveDaemon
from tests.patience import PATIENCE


@pytest.mark.e2e
@pytest.mark.slow
def test_a_task_that_extends_another_is_answered_as_it_once_that_is_there(
    make_task: MakeTask, digits: Path, tmp_path: Path
) -> None:
    settings = {"watch__quiet_seconds": "0.3", "routing__budget_seconds": "1", "worker__job_seconds": "600"}
    asked = sorted((digits / "held-out").rglob("*.png"))
    with LiveDaemon(tmp_path / "home", "conv4", **settings) as live:

        def drop(name: str, first: int, says: str = "") -> None:
            folder = make_task(name, first=first, shots=6)
            (folder / "task.yaml").write_text(says)
            subprocess.run(["mv", folder, live.tasks], check=True)
            live.wait_learned([name], timeout=PATIENCE)

        def told() -> list[dict[str, Any]]:
            return [one["top"][0] for one in live.json("predict", *asked)["predictions"]]

        live.start_warm(timeout=PATIENCE)
        drop("more", first=6, says="extends: numbers\n")
        assert {one["task"] for one in told()} == {"more"}  # it waits
        drop("numbers", first=0)
        answers = told()
        assert {one["task"] for one in answers} == {"numbers"}
        right = [one["class"] == path.parent.name for one, path in zip(answers, asked, strict=True)]
        assert sum(right) >= 0.8 * len(asked)

        live.json("rollback", "1")
        assert {one["task"] for one in told()} == {"more"}
        live.json("rollback", "2")
        assert told() == answers
        live.json("forget", "numbers", "--yes")
        assert {one["task"] for one in told()} == {"more"}
