"""The process behind `learnd meta-train`: one training, JSON lines on stdout.

    python -m learnd.learning.processes.meta_train < SPEC      SPEC: a MetaTrainSpec as one line of JSON

It says {"at": Figures} and {"validation": Score} on the way, and {"done": ...}, {"stopped": ...} or {"failed": ...} at
the end.  SIGINT, SIGTERM and the end of stdin make it write a snapshot beside the output and end; the same command goes
on from there, bit for bit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from learnd.errors import LearndError
from learnd.messages.convert import from_json
from learnd.settings.meta_training_recipe import MetaTrainSpec

if TYPE_CHECKING:
    from learnd.learning.metatraining.outer_loop import Figures
    from learnd.learning.metatraining.snapshots import ValidationScore


def main() -> int:
    """Train as the first line of stdin says.  Returns the exit code of learnd for what happened."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what plugins print goes to stderr; the original stdout carries the protocol alone
    sys.stdout = sys.stderr

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=stream, flush=True)

    spec = from_json(MetaTrainSpec, json.loads(sys.stdin.readline()))
    stop = _stop_signals()
    try:
        return _train(spec, stop, say)
    except LearndError as error:
        say({"failed": str(error), "code": error.exit_code})
        return error.exit_code
    except Exception as error:  # a defect of learnd, of a plugin or of the machine: the parent must hear of it
        traceback.print_exc()
        say({"failed": f"{type(error).__name__}: {error}", "code": 1})
        return 1


def _stop_signals() -> threading.Event:
    """Set by the first SIGINT or SIGTERM, and when whoever started this is gone."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def read() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return stop


def _train(spec: MetaTrainSpec, stop: threading.Event, say: Any) -> int:
    import torch

    from learnd.learning.metatraining.meta_training_job import prepare, publish, snapshot_of
    from learnd.learning.metatraining.outer_loop import Run
    from learnd.learning.metatraining.tensorboard import curves

    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    torch.set_num_threads(threads)
    prepared = prepare(spec, threads)
    with curves(spec.tensorboard) as draw:

        def watch(event: Figures | ValidationScore) -> None:
            say({"validation" if hasattr(event, "accuracy") else "at": vars(event)})
            draw(event)

        seconds = float("inf") if spec.seconds is None else spec.seconds
        run = Run(snapshot_of(spec), prepared.identity, watch, stop.is_set, seconds)
        trained = prepared.train(run)
    if trained.stopped:
        say({"stopped": {"step": trained.step, "steps": spec.recipe.steps, "snapshot": str(snapshot_of(spec))}})
        return 0
    say({"done": publish(spec, prepared, trained)})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
