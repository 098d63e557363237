"""A child process that speaks JSON lines: how the control plane holds a worker (or the inspector) at arm's length.

A child is spawned, never forked; it has its own session, so that a Ctrl-C in the terminal is the daemon's to handle;
it ends when its stdin ends, so that it never outlives a killed daemon; and what it prints goes to its own log.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from learnd.domain import PluginInfo
from learnd.errors import PluginError
from learnd.settings import Settings
from learnd.wire import BackboneSpec, to_json

GONE = "gone"  # the message that ends every child's conversation: {"gone": exit code}
_TAIL_BYTES = 4000
_LAST_WORDS = 2.0  # seconds to read what a killed one said; a stray that left its group may hold its pipe open for ever

Inbox = Callable[["Child", dict[str, Any]], None]


class Child:
    """One spawned process.  Its messages come through inbox(child, message), on a thread of its own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        inbox: Inbox,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._inbox = inbox
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            os.replace(log, log.with_suffix(".old.log"))
        with open(log, "wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._listen, name=f"{name}-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Say one line.  A child that is gone does not hear it; its `gone` message tells the rest."""
        assert self._process.stdin is not None  # it was opened with a pipe
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def kill(self) -> None:
        """End it now, with everything it started."""
        if self._reader.is_alive():  # something of its group still holds the pipe, if not the child itself
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(_LAST_WORDS)

    def log_tail(self) -> str:
        """The last lines it printed."""
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    def _listen(self) -> None:
        with self._process:  # closes the pipes and waits
            assert self._process.stdout is not None  # it was opened with a pipe
            for line in self._process.stdout:
                self._inbox(self, _parse(line))
        self._inbox(self, {GONE: self._process.returncode})


def _parse(line: bytes) -> dict[str, Any]:
    """A line as a message; whatever is no JSON object is noise, from a library that prints."""
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    return message if isinstance(message, dict) else {"noise": line.decode(errors="replace").strip()}


def explain_exit(code: int) -> str:
    """An exit code as a person says it."""
    if code >= 0:
        return f"ended with exit code {code}"
    number = -code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"was killed by {name}"


def devices(settings: Settings) -> tuple[str, ...]:
    """The device of every worker: as set, or every NVIDIA GPU there is, or the CPU.  Found without torch."""
    if settings.devices != "auto":
        return tuple(settings.devices)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = [item for item in visible.split(",") if item.strip() not in ("", "-1")]
    else:
        gpus = Path("/proc/driver/nvidia/gpus")
        found = [entry.name for entry in gpus.iterdir()] if gpus.is_dir() else []
    return tuple(f"cuda:{index}" for index in range(len(found))) or ("cpu",)


def worker_threads(settings: Settings) -> int:
    """CPU threads of one worker: as set, or an equal share of the cores for each."""
    share = (os.cpu_count() or 1) // max(1, len(devices(settings)))
    return settings.worker.threads or max(1, share)


def start_worker(
    name: str,
    device: str,
    index: int,
    backbone: BackboneSpec,
    settings: Settings,
    inbox: Inbox,
    barred: Sequence[PluginInfo] = (),
) -> Child:
    """A warm worker on a device; it says hello when its backbone and its plugins are loaded, but for those barred."""
    threads = str(worker_threads(settings))
    # Set before torch is imported: with the default policy, waiting OpenMP threads spin and starve each other.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    command = [sys.executable, "-m", "learnd.learning.worker", "--device", device, "--index", str(index)]
    command += ["--backbone", json.dumps(to_json(backbone)), *_plugin_arguments(settings, barred)]
    log = settings.state / "logs" / f"worker-{name.replace(':', '-')}.log"
    return Child(name, command, log, inbox, environment)


def start_observer(settings: Settings, inbox: Inbox, barred: Sequence[PluginInfo]) -> Child:
    """The process that tells events to plugins; it says hello when they are loaded."""
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "learnd.learning.observer", *_plugin_arguments(settings, barred)]
    return Child("observers", command, settings.state / "logs" / "observers.log", inbox, environment)


def _plugin_arguments(settings: Settings, barred: Sequence[PluginInfo]) -> list[str]:
    kept_away = json.dumps([to_json(plugin) for plugin in barred])
    options = json.dumps(settings.plugins)
    return ["--plugins", str(settings.plugins_dir), "--options", options, "--barred", kept_away]


def refuse_quarantined(plugins: Iterable[PluginInfo], settings: Settings) -> None:
    """Raises PluginError at the first plugin in quarantine, with its traceback, where plugins_strict is on."""
    bad = next((plugin for plugin in plugins if plugin.state == "quarantined"), None)
    if bad is not None and settings.plugins_strict:
        why = bad.reason.strip() or "no reason given"
        remedy = "mend it: plugins_strict is on, so nothing runs with a plugin in quarantine"
        raise PluginError(why, where=f"plugin {bad.name} ({bad.source})", remedy=remedy)
