"""The state of a task outlives its process: stored as safetensors, it predicts the same in a new one.

    python -m learnd.learning.conformance.new_process_check FOLDER

reads FOLDER/<number>.json and FOLDER/<number>.safetensors and writes FOLDER/<number>.logits.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_file, save_file

from learnd.learning.conformance.check import Broken, alike, gap, learn
from learnd.learning.conformance.drawn_inputs import gratings, small_backbone, support_of
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.contract.checks import check_class
from learnd.learning.contract.options import build, options_of
from learnd.learning.jobs.adapt import classify
from learnd.learning.networks.backbone import Backbone
from learnd.learning.plugin_host.discovery import import_file

SECONDS = 100.0  # for the new process: most of it goes to importing torch
WAYS = 3


def another_process(algorithm: Algorithm, backbone: Backbone) -> None:
    """The state, stored as safetensors and loaded in a new process, gives the same logits."""
    predict_elsewhere([algorithm], backbone)


def predict_elsewhere(algorithms: Sequence[Algorithm], backbone: Backbone) -> None:
    """The same promise of several algorithms, in one new process.  Raises Broken that names the first to break it."""
    images = gratings(WAYS, 4, seed=2)[0]
    here = []
    with tempfile.TemporaryDirectory(prefix="learnd-") as folder:
        for number, algorithm in enumerate(algorithms):
            kind = type(algorithm)
            if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
                remedy = "define the class at the top of a module that is not the script itself"
                raise Broken(f"a new process cannot find {kind.__qualname__} again", remedy=remedy)
            state = learn(algorithm, backbone, support_of(backbone, WAYS))
            place = Path(folder, str(number))
            save_file(state, place.with_suffix(".safetensors"))
            note = [kind.__module__, kind.__qualname__, inspect.getfile(kind), options_of(algorithm)]
            place.with_suffix(".json").write_text(json.dumps(note))
            here.append(classify(algorithm, backbone, state, images, WAYS))
        command = [sys.executable, "-m", __name__, folder]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
        for number, (algorithm, logits) in enumerate(zip(algorithms, here, strict=True)):
            answer = Path(folder, f"{number}.logits")
            if not answer.exists():
                said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
                remedy = "predict from the state alone; what adapt knew is gone"
                raise Broken(f"a new process cannot predict with {algorithm.name}: {said}", remedy=remedy)
            there = load_file(answer)["logits"]
            if not alike(logits, there):
                remedy = "put everything that predict needs into the state"
                raise Broken(f"the logits of {algorithm.name}: {gap(logits, there)}", remedy=remedy)


def main() -> None:
    """Be the new process."""
    folder = Path(sys.argv[1])
    for note in sorted(folder.glob("*.json"), key=lambda path: int(path.stem)):
        module, name, file, options = json.loads(note.read_text())
        algorithm = build(_found(module, name, file), options)
        state = load_file(note.with_suffix(".safetensors"))
        logits = classify(algorithm, small_backbone(), state, gratings(WAYS, 4, seed=2)[0], WAYS)
        save_file({"logits": logits}, note.with_suffix(".logits"))


def _found(module: str, name: str, file: str) -> type[Algorithm]:
    """The class again: from its module, or, where a new process knows none of that name, from its file."""
    try:
        known = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        known = False
    home = importlib.import_module(module) if known else import_file(Path(file))
    return check_class(reduce(getattr, name.split("."), cast(Any, home)))


PROCESS_TRIALS = (another_process,)

if __name__ == "__main__":
    main()
