"""Few-shot accuracy beside the papers' figures.

    python -m benchmarks.fewshot omniglot --algorithm protonet --way 20 --shot 1     # the random split, 423 characters
    python -m benchmarks.fewshot cifar-fs --algorithm ridge --way 5 --shot 5
    python -m benchmarks.fewshot lake [--algorithm protonet]                         # 20 within-alphabet one-shot runs
    python -m benchmarks.fewshot --table                                             # from benchmarks/results/fewshot

Nothing that an episode tests was trained on; validation classes chose every setting.  Scores are inductive: what is
said of a query does not depend on the other queries (the networks normalise with the statistics of their training, so
the transductive score of the same checkpoint is the same number).  A run with --save adds its result file.
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
from pathlib import Path

import torch

from benchmarks.datasets import Images, cifar_fs, omniglot
from benchmarks.splits import read_split
from benchmarks.tables import RESULTS, print_table
from learnd.learning.algorithm import Algorithm, Context, Support
from learnd.learning.backbones import Backbone, load_backbone
from learnd.learning.catalogue import load_catalogue
from learnd.learning.evaluation import Score, Setting, evaluate, pool, score_of
from learnd.learning.images import load_batch
from learnd.wire import BackboneSpec
from tests.data import data_folder

CHECKPOINTS = Path(__file__).parent / "checkpoints"
QUERIES = {5: 15, 20: 5}  # of each class, by ways


def random_characters(backbone: Backbone) -> Images:
    return omniglot(backbone.preprocess).only(read_split("omniglot-random")["test"])


def cifar_test(backbone: Backbone) -> Images:
    return cifar_fs(backbone.preprocess, "test")


# data set -> the backbone's name, its committed checkpoint, and the classes to test on
SOURCES: dict[str, tuple[str, str, Callable[[Backbone], Images]]] = {
    "omniglot": ("conv4", "conv4-omniglot-random.safetensors", random_characters),
    "cifar-fs": ("conv4-rgb", "conv4-rgb-cifar-fs.safetensors", cifar_test),
}


def episodes(options: argparse.Namespace, algorithm: Algorithm) -> tuple[Score, Backbone]:
    name, checkpoint, classes_of = SOURCES[options.data]
    file = str(options.backbone or CHECKPOINTS / checkpoint)
    backbone = load_backbone(BackboneSpec(name, file), meta=CHECKPOINTS / "meta")
    test = classes_of(backbone)
    queries = options.queries or QUERIES.get(options.way, 5)
    setting = Setting(options.way, options.shot, queries, options.episodes, options.seed)
    return evaluate(algorithm, backbone, pool(backbone, test.images, test.rows), setting, _progress), backbone


def lake(options: argparse.Namespace, algorithm: Algorithm) -> tuple[Score, Backbone]:
    """The 20 runs of 20 trials of Lake et al. 2015, "Human-level concept learning" (Science 350)."""
    backbone = load_backbone(BackboneSpec("conv4", str(options.backbone) if options.backbone else None))
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
            state = algorithm.adapt(backbone.private(), support, Context(torch.Generator().manual_seed(options.seed)))
            told = algorithm.predict(backbone, state, images[ways:]).argmax(1).tolist()
            right = [training[k] == train for k, (_, train) in zip(told, pairs, strict=True)]
            accuracies.append(sum(right) / len(right))
    return score_of(accuracies), backbone


def _progress(done: int, accuracy: float) -> None:
    if done % 100 == 0:
        print(f"{done} episodes: {accuracy:.4f}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", choices=[*SOURCES, "lake"])
    parser.add_argument("--table", action="store_true", help="print the committed results beside the papers'")
    parser.add_argument("--algorithm", default="protonet")
    parser.add_argument("--way", type=int, default=20)
    parser.add_argument("--shot", type=int, default=1)
    parser.add_argument("--queries", type=int, help="of each class; default: 15 at 5 ways, 5 at 20")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backbone", type=Path, help="a backbone file instead of the committed one")
    parser.add_argument("--options", default="{}", help="the algorithm's options, as JSON")
    parser.add_argument("--save", action="store_true", help=f"write a result file into {RESULTS.name}/")
    options = parser.parse_args(arguments)
    if options.table or options.data is None:
        return print_table()
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
        given = [part for part in (arguments or sys.argv[1:]) if part != "--save"]
        result = {
            "data": options.data,
            "algorithm": options.algorithm,
            "ways": options.way,
            "shots": options.shot,
            **asdict(score),
            "seed": options.seed,
            "options": json.loads(options.options),
            "meta_learnt": options.algorithm in backbone.meta,
            "backbone": backbone.hash,
            "minutes": round(minutes, 2),
            "command": f"python -m benchmarks.fewshot {shlex.join(given)}",
        }
        name = f"{options.data}-{options.algorithm}-{options.way}w{options.shot}s.json"
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / name).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
