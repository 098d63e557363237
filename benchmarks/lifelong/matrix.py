"""The matrix of a daemon's life: alphabets dropped one after another, and everything asked about after each.

A quarter of the drawings of each character is held out.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from shutil import copytree

from benchmarks.figures import Figure, at_most
from tests.data import unpacked
from tests.live import LiveDaemon

MATRIX_TASKS = 12
LEARN_SECONDS = 600.0  # seconds for a task to be learnt and asked about
FIGURES = ("accuracy", "learning_accuracy", "backward_transfer", "forgetting", "negative_flip_rate")
MEGABYTES = 40.0  # that an idle daemon may hold


def figures(tasks: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="learnd-matrix-") as name:
        room = Path(name)
        with LiveDaemon(room / "home", "conv4", watch__quiet_seconds="0.3") as daemon:
            daemon.start_warm(timeout=300)
            alphabets = sorted(unpacked("omniglot", "images_evaluation/").iterdir())[:tasks]
            for version, alphabet in enumerate(alphabets, start=1):
                folder = Path(copytree(alphabet, room / "outside" / alphabet.name))
                (folder / "task.yaml").write_text("holdout: 0.25\n")
                subprocess.run(["mv", folder, daemon.tasks], check=True)
                surveyed = partial(_surveyed, daemon, version)
                daemon.wait(f"a survey of version {version}", surveyed, LEARN_SECONDS, pause=0.1)
            held = _megabytes(daemon)
            print(daemon.run("history").stdout)
            found = json.loads(daemon.run("history", "--json").stdout)["metrics"]
    label = f"{tasks} alphabets (conv4)"
    listed = [
        Figure(f"{label}: {what.replace('_', ' ')}, {kind}", f"{value:.4f}")
        for what in FIGURES
        for kind in ("unified", "scoped")
        if (value := found[kind].get(what)) is not None
    ]
    lost = found["scoped"]["forgetting"]
    listed.append(Figure("what tasks lost of their own accuracy", f"{lost:.4f}", "= 0", lost == 0))
    return [*listed, at_most("what the daemon itself holds afterwards", held, MEGABYTES, "MB", 1)]


def _surveyed(daemon: LiveDaemon, version: int) -> bool:
    journal = daemon.journal()
    if journal is None:
        return False
    last = journal.surveys.last
    journal.close()
    return last == version


def _megabytes(daemon: LiveDaemon) -> float:
    """Resident memory of the daemon, without its workers."""
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
