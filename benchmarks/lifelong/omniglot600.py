"""600 unseen characters, one after another, in one pass: 15 drawings to learn each from, 5 to ask about.

The protocol of OML (Javed & White 2019, arXiv:1905.12588), ANML (Beaulieu et al. 2020) and GeMCL (Banayeeanzade et
al. 2021), but for the backbone, which was meta-trained on background characters alone.  The statistics and the head are
those of the daemon; with --daemon the daemon itself learns the first seed's characters, in folders of 5 to 30.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from statistics import mean

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.first_light import Drop, copy_in, stage
from benchmarks.lifelong.characters import (
    DRAWERS,
    SHOTS,
    Characters,
    Stream,
    draw_stream,
    learn_each,
    questions,
    read_characters,
)
from benchmarks.lifelong.marks import accuracy, calibration_error
from learnd.learning.knowledge.grouped_classifier import grouped_head
from learnd.learning.networks.backbone import load_backbone
from learnd.messages.jobs import BackboneSpec
from tests.live import LiveDaemon

SEEDS = 3
CLASSES = 600
FOLDERS = (5, 30)  # characters in one


def figures(seeds: int, backbone: str, through_daemon: bool) -> list[Figure]:
    characters = read_characters(load_backbone(BackboneSpec(backbone)))
    streams = [draw_stream(list(range(len(characters.names))), CLASSES, seed) for seed in range(1, seeds + 1)]
    measured = [measure(characters, stream) for stream in streams]
    right, errors = (list(column) for column in zip(*measured, strict=True))
    label = f"omniglot600 ({backbone}, {seeds} seeds)"
    shown = " (" + " ".join(f"{value:.4f}" for value in right) + ")"
    result = [
        at_least(f"{label}: accuracy", mean(right), 0.92, shown),
        Figure("best published (GeMCL), and the aim", "0.879, 0.95"),
        at_most(f"{label}: expected calibration error", mean(errors), 0.03, "", 4),
    ]
    if through_daemon:
        theirs = ask_daemon(characters, streams[0], backbone)
        result.append(Figure("seed 1 through the daemon: accuracy", f"{theirs:.4f}"))
        result.append(at_most("off the figure above, points", 100 * abs(theirs - right[0]), 0.2, "", 2))
    return result


def measure(characters: Characters, stream: Stream) -> tuple[float, float]:
    """Accuracy among all characters of the stream, and expected calibration error."""
    head = grouped_head(learn_each(characters, stream))
    answer = head.log_posterior(questions(characters, stream))  # (N, K)
    return accuracy(answer, stream.answers), calibration_error(answer, stream.answers)


def ask_daemon(characters: Characters, stream: Stream, backbone: str) -> float:
    """The accuracy of the daemon's answers among all that it learnt from folders of these characters."""
    with tempfile.TemporaryDirectory(prefix="learnd-omniglot600-") as name:
        drops = folders(characters, stream, Path(name))
        with LiveDaemon(Path(name) / "home", backbone) as daemon:
            daemon.start_warm()
            copy_in(daemon, drops)
            daemon.wait_learned((drop.name for drop in drops), timeout=1800)
            daemon.stop()
            truth = {str(image): (drop.name, kind) for drop in drops for image, kind in drop.held_out.items()}
            answered = daemon.run("predict", "--json", *truth, timeout=900)
    answered.check_returncode()
    told = json.loads(answered.stdout)["predictions"]
    hits = sum((one["task"], one["class"]) == truth[one["image"]] for one in told)
    return hits / ((DRAWERS - SHOTS) * len(stream.numbers))


def folders(characters: Characters, stream: Stream, room: Path) -> list[Drop]:
    """The stream cut into task folders of a random number of characters, in its order."""
    sizes, start = random.Random(1), 0
    drops: list[Drop] = []
    while start < len(stream.numbers):
        end = start + sizes.randint(*FOLDERS)
        if len(stream.numbers) - end < FOLDERS[0]:
            end = len(stream.numbers)
        chosen = {}
        for place in range(start, end):
            files = characters.files[stream.numbers[place]]
            inside, outside = ([files[i] for i in rows[place].tolist()] for rows in (stream.learn, stream.ask))
            chosen["-".join(characters.names[stream.numbers[place]])] = (inside, outside)
        drops.append(stage(f"part-{len(drops):02d}", chosen, room))
        start = end
    return drops
