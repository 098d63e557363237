"""The daemon asks, once it has nothing else to do, how well everything is told; and keeps what it is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeTask
from tests.live import LiveDaemon
from tests.patience import PATIENCE


@pytest.mark.e2e
@pytest.mark.slow
def test_the_matrix_grows_with_the_knowledge_and_loses_what_is_forgotten(make_task: MakeTask, tmp_path: Path) -> None:
    settings = {"watch__quiet_seconds": "0.3", "routing__budget_seconds": "1", "worker__job_seconds": "600"}
    with LiveDaemon(tmp_path / "home", "conv4", **settings) as live:

        def surveyed(version: int) -> bool:
            journal = live.journal()
            if journal is None:
                return False
            last = journal.surveys.last
            journal.close()
            return last == version

        live.start_warm(timeout=PATIENCE)
        for number, name in enumerate("ab"):
            folder = make_task(name, first=6 * number, shots=6)
            if name == "a":
                (folder / "task.yaml").write_text("holdout: 0.34\n")
            subprocess.run(["mv", folder, live.tasks], check=True)
            live.wait(f"a survey of version {number + 1}", lambda v=number + 1: surveyed(v), timeout=PATIENCE)

        data = live.json("history")
        assert (data["versions"], data["tasks"]) == ([1, 2], ["a", "b"])
        assert data["compared"] == [0, 10]  # two digits of each class of a are held out
        assert [[value is None for value in row] for row in data["unified"]] == [[False, True], [False, False]]
        assert data["scoped"][0][0] == data["scoped"][1][0]
        assert data["metrics"]["scoped"]["forgetting"] == 0

        live.json("forget", "b", "--yes")
        live.wait("a survey of version 3", lambda: surveyed(3), timeout=PATIENCE)
        assert live.json("history")["tasks"] == ["a"]
