"""The kit as a process, so that a plugin may crash or hang without harm to whoever asks.  JSON lines in and out.

    python -m learnd.learning.conformance --plugins DIR --options JSON TARGET

TARGET: a plugin's file, or an algorithm's name.  It says hello with what it found and which checks there are, then
makes a check for every line {"run": "<algorithm> <check>"} and answers {"done": verdict}; it ends with its stdin.
"""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

from learnd.learning.conformance import checks_for
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.plugin_host.catalogue import Catalogue, load_catalogue
from learnd.learning.processes.connection import connect
from learnd.messages.convert import to_json
from learnd.messages.plugins import PluginInfo, PluginState


def main(arguments: list[str] | None = None) -> None:
    """Load, say what there is to check, and check until stdin ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plugins", type=Path, help="the user's plugin folder")
    parser.add_argument("--options", default="{}", help="plugin options as JSON")
    parser.add_argument("target", help="a plugin's file, or an algorithm's name")
    asked = parser.parse_args(arguments)
    line, heard = connect()
    file = Path(asked.target) if asked.target.endswith(".py") else None
    catalogue = load_catalogue(file or asked.plugins, _enabled(json.loads(asked.options)))
    found = _of_file(catalogue, file) if file else [info for info in catalogue.plugins if info.name == asked.target]
    checks = {
        f"{info.name} {check.name}": check
        for info in found
        if info.state is PluginState.OK and info.name in catalogue.algorithms
        for check in checks_for(catalogue.algorithms[info.name])
    }
    line.say(
        {
            "hello": {
                "plugins": [to_json(info) for info in found],
                "checks": [[key, check.promise] for key, check in checks.items()],
                "known": [info.name for info in catalogue.plugins],
            }
        }
    )
    while True:
        line.say({"done": to_json(checks[heard.get()["run"]].verdict())})


def _enabled(options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The options without `enabled`: what is switched off can be checked, too."""
    return {name: {k: v for k, v in given.items() if k != "enabled"} for name, given in options.items()}


def _of_file(catalogue: Catalogue, file: Path) -> list[PluginInfo]:
    """What the catalogue made of this file, which may be that of a built-in."""
    return [
        info
        for info in catalogue.plugins
        if info.source == str(file) or _is_from(catalogue.algorithms.get(info.name), file)
    ]


def _is_from(algorithm: Algorithm | None, file: Path) -> bool:
    return algorithm is not None and Path(inspect.getfile(type(algorithm))).resolve() == file.resolve()


if __name__ == "__main__":
    main()
