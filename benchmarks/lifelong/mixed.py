"""A mixed life: glyphs, satellite images, blood cells and photographs interleaved as 40 tasks, and one sleep.

Everything goes through the real daemon and the real command: task folders are learnt by `learnd run --once` on
lite0-meta, `learnd consolidate` trains and judges a candidate, and the knowledge moves to it or does not.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.figures import Figure
from learnd.messages.task import EXTENSIONS
from tests.data import data_folder
from tests.live import LiveDaemon

WAYS, IMAGES = 5, 12  # of a task; images of a class
TASKS = 40
STEPS = 40
MIXED_SOURCES = (  # archive, how many tasks; of Omniglot a task is one alphabet
    ("omniglot/images_evaluation.zip", 20),
    ("cifar-fs/test.zip", 7),
    ("eurosat/images.zip", 7),
    ("chula-rbc/images.zip", 6),
)


def figures(tasks: int, steps: int, seed: int, home: Path | None = None) -> list[Figure]:
    """home: an empty or new folder where the daemon lives, and its state stays; without one all of it goes."""
    with tempfile.TemporaryDirectory(prefix="learnd-mixed-") as room:
        settings = {
            "watch__quiet_seconds": "0.05",
            "routing__budget_seconds": "2",
            "worker__job_seconds": "3600",
            "devices": "cpu",
        }
        live = LiveDaemon(home or Path(room) / "home", "lite0-meta", **settings)
        names = write_tasks(live.tasks, tasks, seed)
        done = live.run("run", "--once", "--no-dashboard", timeout=7200)
        if done.returncode:
            raise RuntimeError(f"the daemon failed: {done.stderr[-2000:]}")
        slept = live.json("consolidate", "--steps", str(steps), timeout=7200)
        (decision,) = live.json("versions")["decisions"]
    return _told(slept, decision, len(names))


def _told(slept: dict[str, Any], decision: dict[str, Any], tasks: int) -> list[Figure]:
    changes = slept["changes"]
    worst = min(changes, key=lambda one: one["after"] - one["before"])
    rises, refused = slept["after"] > slept["before"], slept["outcome"] == "refused"
    found = [
        Figure("mixed life: tasks", str(tasks), ">= 40", tasks >= 40),
        Figure("the candidate was", slept["outcome"], "rises or refused", rises or refused),
        Figure("mean of tasks and views, before", f"{slept['before']:.4f}"),
        Figure("mean of tasks and views, of the candidate", f"{slept['after']:.4f}"),
        Figure("worst task", f"{worst['task']} ({worst['view']}) {worst['after'] - worst['before']:+.3f}"),
        Figure("negative flips", f"{slept['flips']:.4f}"),
        Figure("size, latency: times those before", f"{slept['size']:.3f}, {slept['latency']:.3f}"),
        Figure("the decision is recorded", str(decision["accepted"]), "as said", decision["accepted"] != refused),
    ]
    for view in ("scoped", "unified"):
        own = [one for one in changes if one["view"] == view]
        means = [sum(one[side] for one in own) / len(own) for side in ("before", "after")]
        fallen = sum(one["after"] < one["before"] for one in own)
        risen = sum(one["after"] > one["before"] for one in own)
        found.append(
            Figure(f"{view}: mean before and after", f"{means[0]:.4f}, {means[1]:.4f}", f"{risen} up, {fallen} down")
        )
    return found + [Figure("  refused as", reason) for reason in slept["reasons"]]


def write_tasks(folder: Path, count: int, seed: int) -> list[str]:
    """The first so many of the interleaved tasks, as folders; the same for the same seed."""
    draw = random.Random(seed)
    streams = [list(_tasks(archive, share, draw)) for archive, share in MIXED_SOURCES]
    order = [number for number, stream in enumerate(streams) for _ in stream]
    draw.shuffle(order)
    names: list[str] = []
    for number in order[:count]:
        archive, classes = streams[number].pop()
        name = f"{len(names):02d}-{archive.split('/')[0]}"
        with zipfile.ZipFile(data_folder() / archive) as opened:
            for at, files in enumerate(classes):
                for place, file in enumerate(files):
                    target = folder / name / f"class-{at}" / f"{place:02d}{PurePosixPath(file).suffix}"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(file) as source, open(target, "wb") as out:
                        shutil.copyfileobj(source, out)
        names.append(name)
    return names


def _tasks(archive: str, count: int, draw: random.Random) -> Iterator[tuple[str, list[list[str]]]]:
    """So many tasks of an archive: WAYS classes and IMAGES files of each; no two share an image."""
    with zipfile.ZipFile(data_folder() / archive) as opened:
        files = sorted(name for name in opened.namelist() if name.endswith(EXTENSIONS))
    groups: dict[str, dict[str, list[str]]] = {}
    for file in files:
        path = PurePosixPath(file)
        group = path.parts[-3] if "omniglot" in archive else ""
        groups.setdefault(group, {}).setdefault(path.parts[-2], []).append(file)
    for number in range(count):
        classes = groups[sorted(groups)[number % len(groups)]]
        able = sorted(name for name, own in classes.items() if len(own) >= IMAGES)
        chosen = draw.sample(able, WAYS)
        taken = [sorted(draw.sample(classes[name], IMAGES)) for name in chosen]
        for name, own in zip(chosen, taken, strict=True):
            classes[name] = sorted(set(classes[name]) - set(own))
        yield archive, taken
