"""The worker process: one device, one warm backbone, one job at a time, JSON lines in and out.

    python -m learnd.learning.processes.worker --device cpu --index 0 --plugins DIR --backbone JSON --options JSON

    < {"importing": {...}} ... {"hello": {...}}
    > {"run": "/path/of/job.json"}      < {"beat": true} {"progress": {...}} ... {"done": "/path/of/result.json"}
    > {"drop": true}                    the job in hand is to make way, if it is a survey
    > {"load": {"barred": [...]}}       < {"importing": {...}} ... {"loaded": {...}}    the plugins, loaded again

The parent sets OMP_NUM_THREADS and OMP_WAIT_POLICY before this starts.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnd.learning.processes.connection import Line, add_plugin_arguments, connect, load_plugins
from learnd.messages.convert import from_json, to_json
from learnd.messages.jobs import BackboneSpec, ConsolidateSpec, ExportSpec, LearnSpec, PredictSpec, SurveySpec
from learnd.messages.outcomes import Outcome, OutcomeStatus
from learnd.messages.state_files import BACKBONE_FILE
from learnd.messages.worker import Hello, Loaded
from learnd.plugin_files import META

if TYPE_CHECKING:  # torch is imported in main, once the environment is as it should be
    from learnd.learning.jobs.worker_context import WorkerContext
    from learnd.learning.knowledge.classifier_cache import HeadKeeper
    from learnd.learning.plugin_host.catalogue import Catalogue

BEAT_SECONDS = 2.0

Spec = LearnSpec | PredictSpec | SurveySpec | ExportSpec | ConsolidateSpec
SPEC_BY_KIND: dict[str, type[Spec]] = {
    "learn": LearnSpec,
    "predict": PredictSpec,
    "survey": SurveySpec,
    "export": ExportSpec,
    "consolidate": ConsolidateSpec,
}


def main(arguments: list[str] | None = None) -> int:
    """Load, say hello, and work until stdin ends."""
    options = _parse(arguments)
    line, heard = connect()
    try:
        worker = _load(options, line)
        hello = _hello(worker, options)
    except BaseException as error:  # a missing device, a damaged file, a broken installation: the parent hears of it
        return _give_up(error, line)
    line.say({"hello": to_json(hello)})
    from learnd.learning.knowledge.classifier_cache import HeadKeeper

    keeper = HeadKeeper()
    while True:
        message = heard.get()
        if "run" in message:
            _run(Path(message["run"]), worker, keeper, line, lambda: not heard.empty())
            continue
        if "drop" in message:  # it was done before this came
            continue
        try:
            worker = _renew(worker, load_plugins(options, line, message["load"]["barred"]), options)
        except BaseException as error:  # as at the start
            return _give_up(error, line)
        line.say({"loaded": to_json(_loaded(worker.catalogue))})


def _give_up(error: BaseException, line: Line) -> int:
    traceback.print_exc()
    line.say({"failed": str(error) or type(error).__name__})
    return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda:0, ...")
    parser.add_argument("--index", type=int, default=0, help="the number of this worker, for its name")
    parser.add_argument("--backbone", default='{"name": "lite0"}', help="a BackboneSpec as JSON")
    add_plugin_arguments(parser)
    return parser.parse_args(arguments)


def _load(options: argparse.Namespace, line: Line) -> WorkerContext:
    """The algorithms, the backbone on its device, and a first pass so that the first job is not the slow one."""
    import torch

    from learnd.learning.contract.meta_learner import with_fitting_meta
    from learnd.learning.jobs.worker_context import WorkerContext
    from learnd.learning.networks.backbone import load_backbone

    torch.set_num_threads(_threads())
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms would import torch's compiler
    torch.backends.cudnn.allow_tf32 = False  # features must be the same to a hair wherever they were computed
    catalogue = load_plugins(options, line)
    spec = from_json(BackboneSpec, json.loads(options.backbone))
    backbone = load_backbone(spec, options.device, catalogue.backbones, _meta(options), _log)
    shape = (1, backbone.preprocess.channels, backbone.preprocess.size, backbone.preprocess.size)
    backbone.embed(torch.zeros(shape, dtype=torch.uint8))
    return WorkerContext(with_fitting_meta(backbone, catalogue.algorithms, _log), catalogue, _threads(), _log)


def _renew(worker: WorkerContext, catalogue: Catalogue, options: argparse.Namespace) -> WorkerContext:
    """The worker with other plugins, and what is now meta-learnt for its network, which does not change."""
    from learnd.learning.contract.meta_learner import with_fitting_meta
    from learnd.learning.networks.meta_checkpoints import attached

    old = worker.backbone
    backbone = replace(old, meta=attached(old.hash, old.module, old.device, _meta(options), _log))
    return replace(worker, catalogue=catalogue, backbone=with_fitting_meta(backbone, catalogue.algorithms, _log))


def _meta(options: argparse.Namespace) -> Path | None:
    return None if options.plugins is None else Path(options.plugins) / META


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def _hello(worker: WorkerContext, options: argparse.Namespace) -> Hello:
    import platform
    from importlib import metadata

    import torch

    import learnd

    versions = {
        "learnd": learnd.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": metadata.version("torchvision"),
    }
    loaded = _loaded(worker.catalogue)
    device = options.device if ":" in options.device else f"{options.device}:{options.index}"
    return Hello(
        device=device,
        pid=os.getpid(),
        backbone=worker.backbone.name,
        backbone_hash=worker.backbone.hash,
        plugins=loaded.plugins,
        versions=versions,
        readers=loaded.readers,
        observers=loaded.observers,
    )


def _loaded(catalogue: Catalogue) -> Loaded:
    observers = tuple(observer.name for observer in catalogue.observers)
    return Loaded(catalogue.plugins, tuple(sorted(catalogue.readers)), observers)


def _run(job: Path, worker: WorkerContext, keeper: HeadKeeper, line: Line, more: Callable[[], bool]) -> None:
    """One job: whatever happens, a result.json is written and its path, or why there is none, is sent to the parent."""
    finished = threading.Event()
    heart = threading.Thread(target=_beat, args=(line, finished), name="beat", daemon=True)
    heart.start()
    data = json.loads(job.read_text())
    out = Path(data["out"])
    out.mkdir(parents=True, exist_ok=True)
    try:
        outcome = _do(data, worker, keeper, line, more)
    except BaseException as error:  # of learnd, of the machine or of a plugin, and nothing is said about the task by it
        traceback.print_exc()
        status = OutcomeStatus.NO_ROOM if short_of_room(error) else OutcomeStatus.BROKEN
        outcome = Outcome(status, reason=f"{type(error).__name__}: {error}")
    finally:
        finished.set()
        heart.join()
    result = out / "result.json"
    try:
        result.write_text(json.dumps(to_json(outcome)))
    except OSError as error:
        line.say({"unwritten": str(error)})
    else:
        line.say({"done": str(result)})


def short_of_room(error: BaseException) -> bool:
    """Whether a disk or a quota is full; safetensors says so in words alone."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in numbers
    return any(f"(os error {number})" in str(error) for number in numbers)


def _beat(line: Line, finished: threading.Event) -> None:
    while not finished.wait(BEAT_SECONDS):
        line.say({"beat": True})


def _do(
    data: dict[str, Any], worker: WorkerContext, keeper: HeadKeeper, line: Line, more: Callable[[], bool]
) -> Outcome:
    """more: whether the parent has said something since."""
    from learnd.identity import sha256_of
    from learnd.learning.jobs.learn import learn
    from learnd.learning.jobs.predict import predict
    from learnd.learning.jobs.survey import survey
    from learnd.learning.networks.backbone import export

    kind = SPEC_BY_KIND[data["kind"]]
    spec = from_json(kind, {key: value for key, value in data.items() if key != "schema"})
    if isinstance(spec, LearnSpec):
        return learn(spec, worker, line.progress)
    if isinstance(spec, PredictSpec):
        return predict(spec, worker, line.progress, keeper)
    if isinstance(spec, SurveySpec):
        return survey(spec, worker, line.progress, more, keeper)
    if isinstance(spec, ConsolidateSpec):
        from learnd.learning.jobs.consolidate import consolidate  # it is rare, and brings in what trains

        return consolidate(spec, worker, line.progress)
    path = Path(spec.out) / BACKBONE_FILE
    export(worker.backbone, path)
    return Outcome(OutcomeStatus.DONE, files={path.name: sha256_of(path)})


if __name__ == "__main__":
    raise SystemExit(main())
