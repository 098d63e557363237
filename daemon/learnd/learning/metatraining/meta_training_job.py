"""From what `learnd meta-train` was asked for to a training, and from what came out to files."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import learnd
from learnd.errors import LearndError, SettingsError
from learnd.learning.contract.meta_learner import BACKBONE, MetaLearner, for_backbone
from learnd.learning.contract.options import build, options_of
from learnd.learning.metatraining.corpus import read_corpus
from learnd.learning.metatraining.objective import meta_train
from learnd.learning.metatraining.outer_loop import Run, Trained
from learnd.learning.metatraining.pretraining import NAME as PRETRAIN
from learnd.learning.metatraining.pretraining import pretrain, pretraining
from learnd.learning.metatraining.snapshots import TrainedWeights
from learnd.learning.networks import meta_checkpoints
from learnd.learning.networks.backbone import Backbone, export, fresh_backbone, load_backbone, trained
from learnd.learning.plugin_host.catalogue import Catalogue, load_catalogue
from learnd.messages.convert import to_json
from learnd.plugin_files import UNFINISHED
from learnd.settings.meta_training_recipe import MetaTrainSpec
from learnd.suggest import did_you_mean


@dataclass(frozen=True)
class Prepared:
    """A training that can begin.  trains_network: a backbone file comes out.  identity: see Run."""

    backbone: Backbone
    trains_network: bool
    options: dict[str, Any]
    identity: str
    train: Callable[[Run], Trained]


def prepare(spec: MetaTrainSpec, threads: int) -> Prepared:
    """Load the algorithm, the backbone and the data.  Raises LearndError for whatever is wrong with them."""
    catalogue = load_catalogue(Path(spec.plugins_dir), spec.plugins)
    learner = None if spec.algorithm == PRETRAIN else _learner(spec, catalogue)
    trains_network = learner is None or learner.batch_statistics
    _check_outputs(spec, trains_network)
    supervised = pretraining(spec.options) if learner is None else None
    backbone = _backbone(spec, catalogue)
    training, validation = read_corpus(spec.corpus, backbone.preprocess, backbone.device, threads)
    options = dict(spec.options) if learner is None else options_of(learner)

    def run(run: Run) -> Trained:
        if learner is None:
            assert supervised is not None
            return pretrain(supervised, backbone, training, validation, spec.recipe, run)
        return meta_train(learner, backbone, training, validation, spec.recipe, run)

    about = {
        "algorithm": spec.algorithm,
        "options": options,
        "corpus": to_json(spec.corpus),
        "images": [domain.classes.digest for domain in (*training, *validation)],
        "recipe": to_json(spec.recipe),
        "backbone": backbone.hash,
    }
    return Prepared(backbone, trains_network, options, json.dumps(about, sort_keys=True), run)


def snapshot_of(spec: MetaTrainSpec) -> Path:
    """Where the training is kept as long as it is not finished: beside what comes out."""
    out = Path(spec.backbone_out or spec.out or "")
    return out.with_name(out.stem + UNFINISHED)


def publish(spec: MetaTrainSpec, prepared: Prepared, result: Trained) -> dict[str, Any]:
    """Write what came out, remove the snapshot of a finished training, and say what was done."""
    backbone, files = prepared.backbone, {}
    params: Mapping[str, Tensor] = result.weights.params
    note = _note(spec, prepared, result)
    if prepared.trains_network:
        assert spec.backbone_out is not None  # prepare saw to it
        backbone = trained(backbone, _filled(backbone, result.weights), spec.half)
        export(backbone, Path(spec.backbone_out), note, spec.half)
        files["backbone_out"] = spec.backbone_out
        params = {name: value for name, value in params.items() if not name.startswith(BACKBONE)}
    if spec.out is not None:
        meta_checkpoints.write(Path(spec.out), spec.algorithm, backbone.hash, params, note, spec.half)
        files["out"] = spec.out
    if result.finished:
        snapshot_of(spec).unlink(missing_ok=True)
    return {
        "step": result.step,
        "steps": spec.recipe.steps,
        "finished": result.finished,
        "seconds": round(result.seconds, 1),
        "validation": None if result.best is None else vars(result.best),
        "backbone_hash": backbone.hash,
        "files": files,
        "snapshot": None if result.finished else str(snapshot_of(spec)),
    }


def _learner(spec: MetaTrainSpec, catalogue: Catalogue) -> MetaLearner:
    """The algorithm of this name with the options of config.yaml and, over them, those of the command."""
    found = catalogue.algorithms.get(spec.algorithm)
    if not isinstance(found, MetaLearner):
        if (unfit := catalogue.unfit(spec.algorithm)) is not None:
            raise LearndError(f"is {unfit.state}: {unfit.reason}", where=f"--algorithm {spec.algorithm}")
        able = [name for name, algorithm in catalogue.algorithms.items() if isinstance(algorithm, MetaLearner)]
        what = "has no outer loop" if found else "there is no algorithm of this name"
        remedy = did_you_mean(spec.algorithm, [*able, PRETRAIN])
        raise SettingsError(what, where=f"--algorithm {spec.algorithm}", remedy=remedy)
    asked = build(type(found), {**options_of(found), **spec.options})
    assert isinstance(asked, MetaLearner)
    return asked


def _check_outputs(spec: MetaTrainSpec, trains_network: bool) -> None:
    where = f"--algorithm {spec.algorithm}"
    if trains_network and spec.backbone_out is None:
        remedy = "say where the new backbone goes: --backbone-out FILE.safetensors"
        raise SettingsError("trains the network itself", where=where, remedy=remedy)
    if not trains_network and (spec.backbone_out is not None or spec.out is None):
        remedy = "say --out FILE.safetensors alone"
        raise SettingsError("leaves the network as it is: a meta checkpoint comes out", where=where, remedy=remedy)
    if spec.algorithm == PRETRAIN and spec.out is not None:
        remedy = "say --backbone-out FILE.safetensors alone"
        raise SettingsError("makes a backbone and no meta checkpoint", where=where, remedy=remedy)
    for out in filter(None, (spec.out, spec.backbone_out)):
        if Path(out).suffix != ".safetensors":
            raise SettingsError("must end in .safetensors", where=out, remedy="choose such a name")
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    if spec.restart:
        snapshot_of(spec).unlink(missing_ok=True)


def _backbone(spec: MetaTrainSpec, catalogue: Catalogue) -> Backbone:
    if spec.fresh:
        return fresh_backbone(spec.backbone.name, spec.recipe.seed, spec.device)
    return load_backbone(spec.backbone, spec.device, catalogue.backbones, Path(spec.plugins_dir, "meta"))


def _filled(backbone: Backbone, weights: TrainedWeights) -> torch.nn.Module:
    """The network with what was trained in place."""
    module = copy.deepcopy(backbone.module)
    module.load_state_dict({**module.state_dict(), **for_backbone(weights.params), **weights.buffers})
    return module


def _note(spec: MetaTrainSpec, prepared: Prepared, result: Trained) -> dict[str, str]:
    """What the metadata of an output tells of how it was made."""
    about = {
        "backbone": spec.backbone.name,
        "options": prepared.options,
        "recipe": to_json(spec.recipe),
        "corpus": to_json(spec.corpus),
        "command": spec.command,
        "validation": None if result.best is None else vars(result.best),
        "curve": [[score.step, round(score.accuracy, 4)] for score in result.curve],
        "steps": result.step,
        "minutes": round(result.seconds / 60, 1),
        "device": str(prepared.backbone.device),
        "versions": {"learnd": learnd.__version__, "torch": torch.__version__},
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in about.items()}
