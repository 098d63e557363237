"""Few-shot accuracy beside the papers' figures.

    python -m benchmarks.fewshot omniglot --algorithm protonet --way 20 --shot 1     # the random split, 423 characters
    python -m benchmarks.fewshot cifar-fs --algorithm ridge --way 5 --shot 5
    python -m benchmarks.fewshot lake [--algorithm protonet]                         # 20 within-alphabet one-shot runs
    python -m benchmarks.fewshot --table                                             # from benchmarks/results/fewshot

Nothing that an episode tests was trained on; validation classes (--classes validation) chose every setting.  Scores are
inductive unless --norm batch is given: what is said of a query does not depend on the other queries.  A run with --save
adds its result file.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.datasets import Images, cifar_fs, omniglot
from benchmarks.splits import read_split
from benchmarks.tables import CHECKPOINTS, RESULTS, made_by, print_table
from learnd.learning.contract.algorithm import Algorithm, Context, Support
from learnd.learning.metatraining.evaluation import (
    NORMS,
    EpisodeScore,
    EpisodeSetting,
    combined,
    evaluate,
    pool,
    score_of,
)
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.networks.images import load_batch
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec
from tests.data import data_folder

QUERIES = {5: 15, 20: 5}  # of each class, by ways


def characters(backbone: Backbone, part: str) -> Images:
    return omniglot(backbone.preprocess).only(read_split("omniglot-random")[part])


def photographs(backbone: Backbone, part: str) -> Images:
    return cifar_fs(backbone.preprocess, {"test": "test", "validation": "val"}[part])


# data set -> the backbone with its committed checkpoint, and the classes of a part
SOURCES: dict[str, tuple[str, Callable[[Backbone, str], Images]]] = {
    "omniglot": (f"conv4@{CHECKPOINTS / 'conv4-omniglot-random.safetensors'}", characters),
    "cifar-fs": (f"conv4-rgb@{CHECKPOINTS / 'conv4-rgb-cifar-fs-ridge-turns.safetensors'}", photographs),
}


def episodes(options: argparse.Namespace, algorithm: Algorithm) -> tuple[EpisodeScore, Backbone]:
    """The score over all seeds, each with as many episodes."""
    name, classes_of = SOURCES[options.data]
    backbone = load_backbone(BackboneSpec(options.backbone or name), meta=CHECKPOINTS / "meta")
    classes = classes_of(backbone, options.classes)
    embedded = pool(backbone, classes.images, classes.rows)
    queries = options.queries or QUERIES.get(options.way, 5)
    scores = []
    for seed in options.seeds:
        setting = EpisodeSetting(options.way, options.shot, queries, options.episodes, seed, options.norm)
        scores.append(evaluate(algorithm, backbone, embedded, setting, _progress))
    return combined(scores), backbone


def lake(options: argparse.Namespace, algorithm: Algorithm) -> tuple[EpisodeScore, Backbone]:
    """The 20 runs of 20 trials of Lake et al. 2015, "Human-level concept learning" (Science 350)."""
    backbone = load_backbone(BackboneSpec(options.backbone or "conv4"))
    accuracies = []
    with zipfile.ZipFile(data_folder() / "omniglot/all_runs.zip") as archive:
        for run in range(1, 21):
            lines = archive.read(f"run{run:02d}/class_labels.txt").decode().splitlines()
            pairs = [tuple(line.split()) for line in lines]
            training = sorted({train for _, train in pairs})
            files = [(name, archive.read(name)) for name in (*training, *(test for test, _ in pairs))]
            images, errors = load_batch(files, backbone.preprocess)
            if errors:
                raise errors[0]
            ways = len(training)
            support = Support(images[:ways], backbone.embed(images[:ways]), torch.arange(ways), ways)
            generator = torch.Generator().manual_seed(options.seeds[0])
            state = algorithm.adapt(backbone.private(), support, Context(generator))
            told = algorithm.predict(backbone, state, images[ways:]).argmax(1).tolist()
            right = [training[k] == train for k, (_, train) in zip(told, pairs, strict=True)]
            accuracies.append(sum(right) / len(right))
    return score_of(accuracies), backbone


def _progress(done: int, accuracy: float) -> None:
    if done % 100 == 0:
        print(f"{done} episodes: {accuracy:.4f}", file=sys.stderr, flush=True)


def save(
    options: argparse.Namespace, score: EpisodeScore, backbone: Backbone, minutes: float, given: list[str]
) -> dict[str, Any]:
    """Write the result file, which says all that is needed to get the same again."""
    result = {
        "row": options.row or options.algorithm,
        "data": options.data,
        "algorithm": options.algorithm,
        "ways": options.way,
        "shots": options.shot,
        "norm": options.norm,
        **asdict(score),
        "seeds": options.seeds,
        "options": json.loads(options.options),
        "meta_learnt": options.algorithm in backbone.meta,
        "backbone": backbone.hash,
        "training": made_by(options.algorithm, backbone),
        "minutes": round(minutes, 2),
        "command": f"python -m benchmarks.fewshot {shlex.join(part for part in given if part != '--save')}",
    }
    row = str(result["row"]).replace(" ", "-")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{options.data}-{row}-{options.way}w{options.shot}s-{options.norm}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return result


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", choices=[*SOURCES, "lake"])
    parser.add_argument("--table", action="store_true", help="print the committed results beside the papers'")
    parser.add_argument("--algorithm", default="protonet")
    parser.add_argument("--way", type=int, default=20)
    parser.add_argument("--shot", type=int, default=1)
    parser.add_argument("--queries", type=int, help="of each class; default: 15 at 5 ways, 5 at 20")
    parser.add_argument("--episodes", type=int, default=1000, help="of each seed")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[1])
    parser.add_argument("--norm", choices=NORMS, default="training", help="whose statistics batch norm takes")
    parser.add_argument("--classes", choices=["test", "validation"], default="test")
    parser.add_argument("--backbone", help="NAME@FILE, instead of the committed one")
    parser.add_argument("--options", default="{}", help="the algorithm's options, as JSON")
    parser.add_argument("--row", help="the name of its row in the table; default: the algorithm's")
    parser.add_argument("--save", action="store_true", help=f"write a result file into {RESULTS.name}/")
    options = parser.parse_args(arguments)
    if options.table or options.data is None:
        return print_table()
    if options.save and options.classes != "test":
        parser.error("--save is for the test classes")
    catalogue = load_catalogue(None, {options.algorithm: json.loads(options.options)})
    if options.algorithm not in catalogue.algorithms:
        parser.error(f"no algorithm {options.algorithm!r}; there is {', '.join(sorted(catalogue.algorithms))}")
    algorithm = catalogue.algorithms[options.algorithm]
    started = time.monotonic()
    score, backbone = (lake if options.data == "lake" else episodes)(options, algorithm)
    minutes = (time.monotonic() - started) / 60
    size = "20 runs" if options.data == "lake" else f"{options.way}-way {options.shot}-shot"
    print(f"{options.data} {options.algorithm} {size}: {score} % ({score.episodes} episodes, {minutes:.1f} min)")
    if options.save:
        save(options, score, backbone, minutes, arguments or sys.argv[1:])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
