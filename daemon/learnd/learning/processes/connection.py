"""What the processes of this package share: the connection to the daemon, and the loading of plugins.

JSON lines come in on stdin and go out on the original stdout; what plugins print goes to stderr.  When stdin ends the
daemon is gone, and the process exits immediately.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from learnd.messages.convert import from_json
from learnd.messages.plugins import PluginInfo

if TYPE_CHECKING:  # torch comes in only once the environment is as it should be
    from learnd.learning.plugin_host.catalogue import Catalogue


@dataclass(frozen=True)
class Line:
    """The wire to the parent: one JSON document a line, whichever thread speaks."""

    stream: IO[str]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, message: dict[str, Any]) -> None:
        """Send one message.  Ends the process where nobody listens any more."""
        with self.lock:
            try:
                print(json.dumps(message), file=self.stream, flush=True)
            except BrokenPipeError:
                os._exit(0)

    def importing(self, name: str, source: str) -> None:
        self.say({"importing": {"name": name, "source": source}})

    def progress(self, stage: str, done: int, total: int, algorithm: str = "", /) -> None:
        self.say({"progress": {"stage": stage, "done": done, "total": total, "algorithm": algorithm}})


def add_plugin_arguments(parser: argparse.ArgumentParser) -> None:
    """What load_plugins reads."""
    parser.add_argument("--plugins", type=Path, help="the user's plugin folder")
    parser.add_argument("--options", default="{}", help="plugin options as JSON")
    parser.add_argument("--barred", default="[]", help="plugins to do without, a list of PluginInfo as JSON")


def connect() -> tuple[Line, queue.SimpleQueue[dict[str, Any]]]:
    """The wire out, and what comes in; at the end of stdin the process ends, whatever it is at."""
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    # A copy that a plugin forks is no part of the conversation, and must not keep it open when this process has ended.
    os.register_at_fork(after_in_child=lambda: os.dup2(2, protocol.fileno()))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the daemon's to handle
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for text in sys.stdin:
            heard.put(json.loads(text))
        os._exit(0)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return Line(protocol), heard


def load_plugins(options: argparse.Namespace, line: Line, barred: list[Any] | None = None) -> Catalogue:
    """Every plugin.  The parent hears of each before it is imported: should this process die, it knows by whom.

    barred: plugins and algorithms to do without, as JSON data, where they are no longer those of the options.
    """
    from learnd.learning.plugin_host.catalogue import load_catalogue

    kept_away = [from_json(PluginInfo, item) for item in (json.loads(options.barred) if barred is None else barred)]
    catalogue = load_catalogue(options.plugins, json.loads(options.options), kept_away, line.importing)
    line.say({"importing": None})
    return catalogue
