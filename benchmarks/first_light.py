"""The main job on real images: drop, learn, ask; then the same with the daemon killed at ten random moments.

    python -m benchmarks.first_light [--seed 1] [--skip-kills] [--skip-photos]

20 Omniglot evaluation alphabets as 20 tasks (15 drawings a character dropped by `cp -r`, 5 held out) on conv4, then
EuroSAT and Chula RBC (20 images per class) on lite0.  Exits with 1 where a figure falls short.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, at_least, conclude, exactly, wilson
from learnd.messages.task import TaskState
from tests.data import unpacked
from tests.live import LiveDaemon

KILLS = 10


@dataclass(frozen=True)
class Drop:
    """A task folder ready to be copied, and what was held out of it: image -> its class."""

    name: str
    folder: Path
    held_out: dict[Path, str]


def place(files: list[Path], folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    return [Path(shutil.copy(file, folder / file.name)) for file in files]


def stage(name: str, chosen: dict[str, tuple[list[Path], list[Path]]], room: Path) -> Drop:
    """chosen: class -> (images for the folder, images held out)."""
    held_out: dict[Path, str] = {}
    for kind, (inside, outside) in chosen.items():
        place(inside, room / "drops" / name / kind)
        held_out |= dict.fromkeys(place(outside, room / "held-out" / name / kind), kind)
    return Drop(name, room / "drops" / name, held_out)


def omniglot(room: Path) -> list[Drop]:
    """A task an alphabet: the first 15 drawers in the folder, the last 5 held out."""
    drops = []
    for alphabet in sorted(unpacked("omniglot", "images_evaluation/").iterdir()):
        chosen = {}
        for character in sorted(alphabet.iterdir()):
            images = sorted(character.iterdir())
            chosen[character.name] = (images[:15], images[15:])
        drops.append(stage(alphabet.name, chosen, room))
    return drops


def eurosat(room: Path, seed: int) -> Drop:
    """20 random images per class in the folder, the rest outside."""
    chosen = {}
    for kind in sorted(unpacked("eurosat").iterdir()):
        images = random.Random(f"{seed}/{kind.name}").sample(sorted(kind.iterdir()), k=len(list(kind.iterdir())))
        chosen[kind.name] = (images[:20], images[20:])
    return stage("eurosat", chosen, room)


def chula(room: Path, seed: int) -> Drop:
    """20 images per class; held-out images come from other smears (the prefix of the name) than those in the folder."""
    by_smear: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    kinds = sorted(kind.name for kind in unpacked("chula-rbc").iterdir())
    for kind in kinds:
        for image in sorted((unpacked("chula-rbc") / kind).iterdir()):
            by_smear[image.name.split("_")[0]].append((kind, image))
    inside: dict[str, list[Path]] = defaultdict(list)
    outside: dict[str, list[Path]] = defaultdict(list)
    smears = sorted(by_smear)
    random.Random(seed).shuffle(smears)
    for smear in smears:
        wanted = any(len(inside[kind]) < 20 for kind, _ in by_smear[smear])
        for kind, image in by_smear[smear]:
            (inside if wanted else outside)[kind].append(image)
    return stage("chula-rbc", {kind: (inside[kind][:20], outside[kind]) for kind in kinds}, room)


def copy_in(daemon: LiveDaemon, drops: list[Drop], pause: float = 0.0) -> None:
    for drop in drops:
        subprocess.run(["cp", "-r", drop.folder, daemon.tasks / drop.name], check=True)
        time.sleep(pause)


def ask(daemon: LiveDaemon, drops: list[Drop]) -> list[str]:
    """The answers of `learnd predict --json`, as printed: one for each task by itself, then one across all."""
    images = [[str(image) for image in drop.held_out] for drop in drops]
    questions = [["--task", drop.name, *files] for drop, files in zip(drops, images, strict=True)]
    questions.append([file for files in images for file in files])
    answers = [daemon.run("predict", "--json", *question, timeout=900) for question in questions]
    for answer in answers:
        answer.check_returncode()
    return [answer.stdout for answer in answers]


def scoped_accuracy(drops: list[Drop], answers: list[str]) -> tuple[float, int, int]:
    """Mean over the tasks, and hits and images in all."""
    shares, hits, images = [], 0, 0
    for drop, answer in zip(drops, answers, strict=True):
        right = [p["class"] == drop.held_out[Path(p["image"])] for p in json.loads(answer)["predictions"]]
        shares.append(sum(right) / len(right))
        hits, images = hits + sum(right), images + len(right)
    return sum(shares) / len(shares), hits, images


def unified_hits(drops: list[Drop], answer: str) -> tuple[int, int]:
    truth = {image: (drop.name, kind) for drop in drops for image, kind in drop.held_out.items()}
    found = json.loads(answer)["predictions"]
    return sum((p["task"], p["class"]) == truth[Path(p["image"])] for p in found), len(found)


def bookkeeping(daemon: LiveDaemon, drops: list[Drop], label: str) -> list[Figure]:
    """Dropped, learned, lost, counted twice: by the daemon's own account."""
    status, rows = daemon.json("status"), daemon.json("tasks")["tasks"]
    learned = [row["name"] for row in rows if row["state"] == "learned"]
    return [
        Figure(f"{label}: tasks dropped", str(len(drops))),
        exactly(f"{label}: learned", status["counts"]["learned"], len(drops)),
        exactly(f"{label}: lost", len({drop.name for drop in drops} - set(learned)), 0),
        exactly(f"{label}: counted twice", len(rows) - len(drops) + status["knowledge"]["tasks"] - len(drops), 0),
    ]


def undisturbed(room: Path, drops: list[Drop]) -> tuple[list[Figure], list[str]]:
    with LiveDaemon(room / "undisturbed", "conv4") as daemon:
        daemon.start_warm()
        started = time.monotonic()
        copy_in(daemon, drops)
        daemon.wait_learned((drop.name for drop in drops), timeout=900)
        seconds = time.monotonic() - started
        figures = bookkeeping(daemon, drops, "Omniglot")
        daemon.stop()
        answers = ask(daemon, drops)
    classes = sum(len(set(drop.held_out.values())) for drop in drops)
    mean, hits, images = scoped_accuracy(drops, answers[:-1])
    right, asked = unified_hits(drops, answers[-1])
    return [
        *figures,
        Figure("Omniglot: seconds from the first cp -r to the last learned", f"{seconds:.1f} s"),
        at_least("Omniglot: mean task-scoped accuracy (conv4)", mean, 0.91, wilson(hits, images)),
        at_least(f"Omniglot: unified accuracy over {classes} characters", right / asked, 0.85, wilson(right, asked)),
    ], answers


def killed(room: Path, drops: list[Drop], seed: int, expected: list[str]) -> list[Figure]:
    """The same run, with `kill -9` of the daemon at ten random moments."""
    moments = random.Random(seed)
    kills = 0
    with LiveDaemon(room / "killed", "conv4") as daemon:
        daemon.start()
        dropping = threading.Thread(target=copy_in, args=(daemon, drops, 2.0))
        dropping.start()
        for _ in range(KILLS):
            time.sleep(moments.uniform(0.5, 9.0))
            daemon.kill()
            kills += 1
            daemon.start()
        dropping.join()
        daemon.wait_learned((drop.name for drop in drops), timeout=900)
        unfinished = [row for row in daemon.rows() if row.state != TaskState.LEARNED]
        figures = bookkeeping(daemon, drops, f"after {kills} kill -9")
        daemon.signal(signal.SIGTERM)
        answers = ask(daemon, drops)
    same = sum(one == other for one, other in zip(expected, answers, strict=True))
    return [
        *figures,
        exactly("after kills: tasks left unfinished", len(unfinished), 0),
        exactly("after kills: answers equal byte for byte, of 21", same, len(expected)),
    ]


def photographs(room: Path, seed: int) -> list[Figure]:
    drops = [eurosat(room, seed), chula(room, seed)]
    with LiveDaemon(room / "photos", "lite0") as daemon:
        daemon.start_warm()
        copy_in(daemon, drops)
        daemon.wait_learned((drop.name for drop in drops), timeout=900)
        algorithms = {row.name: row.algorithm for row in daemon.rows()}
        daemon.stop()
        answers = ask(daemon, drops)
    figures = []
    for drop, answer in zip(drops, answers, strict=False):
        share, hits, images = scoped_accuracy([drop], [answer])
        name = f"{drop.name}: task-scoped accuracy (lite0, {algorithms[drop.name]})"
        bar = wilson(hits, images)
        figures.append(
            at_least(name, share, 0.85, bar) if drop.name == "eurosat" else Figure(name, f"{share:.4f}{bar}")
        )
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip-kills", action="store_true")
    parser.add_argument("--skip-photos", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="learnd-first-light-") as name:
        room = Path(name)
        drops = omniglot(room)
        figures, answers = undisturbed(room, drops)
        if not options.skip_kills:
            figures += killed(room, drops, options.seed, answers)
        if not options.skip_photos:
            figures += photographs(room, options.seed)
    return conclude(figures)


if __name__ == "__main__":
    raise SystemExit(main())
