"""How quick and how light: the speed table.

    python -m benchmarks.speed [--tasks 1000] [--runs 20]

Medians of repeated runs.  Exits with 1 where a figure falls short.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, at_most, conclude, spread
from learnd.messages.task import TaskState
from tests.data import unpacked
from tests.live import LiveDaemon

IDLE_SECONDS = 30.0
LONG_IDLE_SECONDS = 180.0  # with many tasks: longer than the rescans lie apart


def stage(room: Path, count: int, seed: int) -> list[Path]:
    """So many different 5-way 5-shot tasks of Omniglot evaluation characters, ready to be renamed into place."""
    draw = random.Random(seed)
    characters = sorted(
        path for alphabet in unpacked("omniglot", "images_evaluation/").iterdir() for path in alphabet.iterdir()
    )
    folders = []
    for number in range(count):
        folder = room / f"task-{number:04d}"
        for character in draw.sample(characters, 5):
            place = folder / f"{character.parent.name}-{character.name}"
            place.mkdir(parents=True)
            for image in draw.sample(sorted(character.iterdir()), 5):
                shutil.copyfile(image, place / image.name)
        folders.append(folder)
    return folders


def command_figures(runs: int, room: Path) -> list[Figure]:
    """Whole processes: the installed console script."""
    script = Path(sys.executable).with_name("learnd")
    figures = []
    with LiveDaemon(room / "commands") as daemon:
        daemon.start_warm()
        for arguments, limit in ((["--help"], 0.2), (["status"], 0.3)):
            seconds = []
            for _ in range(runs + 1):
                started = time.perf_counter()
                subprocess.run(
                    [script, *arguments],
                    check=True,
                    capture_output=True,
                    cwd=daemon.home,
                    env=daemon.environment,
                )
                seconds.append(time.perf_counter() - started)
            kept = seconds[1:]  # the first one warms the disk cache
            name = f"learnd {arguments[0]}: median of {runs} [{spread(kept)}]"
            figures.append(at_most(name, statistics.median(kept), limit, "s"))
    return figures


def memory_mb(pid: int) -> float:
    """Resident memory of one process, without its children."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_figures(daemon: LiveDaemon, label: str, seconds: float) -> list[Figure]:
    assert daemon.process is not None
    pid = daemon.process.pid
    before = cpu_seconds(pid)
    time.sleep(seconds)
    share = (cpu_seconds(pid) - before) / seconds * 100
    return [
        at_most(f"idle daemon, {label}: memory", memory_mb(pid), 80, "MB", 1),
        at_most(f"idle daemon, {label}: of one core, over {seconds:.0f} s", share, 1, "%", 2),
    ]


def latency_figures(daemon: LiveDaemon, folders: list[Path]) -> list[Figure]:
    """From the rename into the watched folder to the commit, one task at a time, on a warm worker."""
    seconds = []
    for folder in folders:
        dropped = time.time()
        os.rename(folder, daemon.tasks / folder.name)
        row = daemon.wait_state(folder.name, TaskState.LEARNED)
        seconds.append(row.updated - dropped)
    name = f"rename to learned, 5-way 5-shot: median of {len(seconds)} [{spread(seconds)}]"
    return [at_most(name, statistics.median(seconds), 0.5, "s")]


def flood_figures(daemon: LiveDaemon, folders: list[Path]) -> list[Figure]:
    """All at once: every one is learned, and the last hundred cost what the first hundred did."""
    dropped = time.time()
    for folder in folders:
        os.rename(folder, daemon.tasks / folder.name)
    names = {folder.name for folder in folders}
    daemon.wait_learned(names, timeout=3600, pause=2.0)
    moments = sorted(row.updated for row in daemon.rows() if row.name in names)
    hundred = max(1, len(moments) // 10)
    first = (moments[hundred] - moments[0]) / hundred
    last = (moments[-1] - moments[-1 - hundred]) / hundred
    return [
        Figure(
            f"{len(names)} tasks at once: learned",
            str(len(moments)),
            f"= {len(names)}",
            len(moments) == len(names),
        ),
        Figure("of them, seconds in all", f"{moments[-1] - dropped:.1f} s"),
        Figure(f"of them, each of the first {hundred} / of the last {hundred}", f"{first:.3f} / {last:.3f} s"),
        at_most("of them, last to first", last / first, 1.2, "times", 2),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="learnd-speed-") as name:
        room = Path(name)
        figures = command_figures(options.runs, room)
        folders = stage(room / "staged", options.runs + options.tasks, options.seed)
        with LiveDaemon(room / "home", "conv4") as daemon:
            daemon.start_warm()
            figures += idle_figures(daemon, "no tasks", IDLE_SECONDS)
            figures += latency_figures(daemon, folders[: options.runs])
            figures += flood_figures(daemon, folders[options.runs :])
            figures += idle_figures(daemon, f"{len(folders)} tasks", LONG_IDLE_SECONDS)
            daemon.stop()
    return conclude(figures)


if __name__ == "__main__":
    raise SystemExit(main())
