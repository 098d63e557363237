"""The command that trains a domain adapter of lite0 and writes it, alone or beside others.

    python -m learnd.learning.processes.train_adapter --kind photographs --data train.zip --validation val.zip \
        --name thumbnails --out thumbnails.safetensors
    python -m learnd.learning.processes.train_adapter --data images_background.zip --name glyphs \
        --beside thumbnails.safetensors --out lite0-meta.safetensors

How it is trained: `metatraining/adapter_training.py`.  Started again, it goes on from its snapshot.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from learnd.errors import exit_code_of
from learnd.learning.metatraining.adapter_training import DOMAIN_KINDS, RECIPE, Plan, preprocess_for, train_adapter
from learnd.learning.metatraining.corpus import ImageClasses, hold_back, read_classes
from learnd.learning.metatraining.outer_loop import Figures, Run
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.learning.networks.adapters import Adapter, pack, unpack
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.networks.zoo import read_tensors
from learnd.messages.jobs import BackboneSpec


def main(arguments: list[str] | None = None) -> int:
    """Train one adapter of lite0 and write it, with its recipe as metadata; started again, it goes on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder or .zip of [<group>/]<class>/<image>")
    parser.add_argument("--validation", type=Path, help="the same, to validate on; default: some of the groups")
    parser.add_argument("--kind", choices=sorted(DOMAIN_KINDS), default="glyphs", help="the shape of the adapter")
    parser.add_argument("--name", required=True, help="of the adapter")
    parser.add_argument("--beside", type=Path, help="a .safetensors file whose adapters are written beside it")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--per-class", type=int, default=300, help="images of each class, at most")
    parser.add_argument("--steps", type=int, help="tasks to train on; default: those of the kind's recipe")
    parser.add_argument("--validation-episodes", type=int, help="tasks to validate on; default: as for --steps")
    parser.add_argument("--seed", type=int, default=RECIPE.seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, ...")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    plan, recipe = DOMAIN_KINDS[options.kind]
    given = {"steps": options.steps, "validation_episodes": options.validation_episodes}
    recipe = replace(recipe, seed=options.seed, **{name: value for name, value in given.items() if value})
    made = {"plan": asdict(plan), "recipe": asdict(recipe), "per_class": options.per_class}
    trunk = load_backbone(BackboneSpec("lite0"), options.device)
    run = Run(options.out.with_suffix(".snapshot"), json.dumps({"adapter": options.name, **made}), _say)
    adapter, trained = train_adapter(options.name, trunk, _read(options, trunk, plan), plan, recipe, run)
    others, facts = _beside(options.beside) if options.beside else ((), {})
    packed, note = pack([*others, adapter])
    if trained.best is not None:
        made["validation"] = asdict(trained.best)
    save_file(packed, options.out, metadata={**facts, **note, f"made.{options.name}": json.dumps(made)})
    print(json.dumps({"out": str(options.out), "validation": made.get("validation")}))
    return 0


def _read(options: argparse.Namespace, trunk: Backbone, plan: Plan) -> tuple[ImageClasses, ImageClasses]:
    """The classes to train on, and those that validate."""
    preprocess = preprocess_for(trunk, plan, trunk.preprocess.size)

    def read(root: Path) -> ImageClasses:
        return read_classes([root], preprocess, options.threads, per_class=options.per_class)

    if options.validation:
        return read(options.data), read(options.validation)
    return hold_back(read(options.data), plan.held_back)


def _beside(path: Path) -> tuple[tuple[Adapter, ...], dict[str, str]]:
    """The adapters of a file, and what it says of how they came about."""
    tensors, note = read_tensors(path)
    _, adapters = unpack(tensors, note, str(path))
    return adapters, {key: value for key, value in note.items() if key != "adapters"}


def _say(event: Figures | ValidationScore) -> None:
    print(json.dumps(asdict(event)), file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(main))
