"""Start the child processes: a worker on a device, the observers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from learnd.control.processes.child import Child, Inbox
from learnd.errors import PluginError
from learnd.messages.convert import to_json
from learnd.messages.jobs import BackboneSpec
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.settings.keys import Settings

# glibc returns a large block to the system as soon as it is freed, and the system clears every page before it gives it
# out again.  A training frees and takes the same blocks at every step.  Measured: docs/results.md, "A meta-step".
KEEP_MEMORY = MappingProxyType(
    {
        "MALLOC_TRIM_THRESHOLD_": str(2**30),  # bytes: keep up to 1 GB of freed memory
        "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the largest value that glibc takes
        "MALLOC_TOP_PAD_": str(2**26),
        "MALLOC_ARENA_MAX": "1",  # the arena of a thread would return what is free in it
    }
)


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


@dataclass(frozen=True)
class WorkerPlace:
    """Where a worker runs.  name: unique among the workers; index: its number, from 0."""

    name: str
    device: str
    index: int = 0


def start_worker(
    place: WorkerPlace,
    backbone: BackboneSpec,
    settings: Settings,
    inbox: Inbox,
    barred: Sequence[PluginInfo] = (),
) -> Child:
    """Start a warm worker.  It says hello when it has loaded its backbone and its plugins, except those barred."""
    threads = str(worker_threads(settings))
    # Set before torch is imported: with the default policy, waiting OpenMP threads spin and starve each other.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    command = [sys.executable, "-m", "learnd.learning.processes.worker", "--device", place.device]
    command += ["--index", str(place.index)]
    command += ["--backbone", json.dumps(to_json(backbone)), *_plugin_arguments(settings, barred)]
    log = settings.state / "logs" / f"worker-{place.name.replace(':', '-')}.log"
    return Child(place.name, command, log, inbox, environment)


def start_observer(settings: Settings, inbox: Inbox, barred: Sequence[PluginInfo]) -> Child:
    """The process that tells events to plugins; it says hello when they are loaded."""
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "learnd.learning.processes.observer", *_plugin_arguments(settings, barred)]
    return Child("observers", command, settings.state / "logs" / "observers.log", inbox, environment)


def _plugin_arguments(settings: Settings, barred: Sequence[PluginInfo]) -> list[str]:
    kept_away = json.dumps([to_json(plugin) for plugin in barred])
    options = json.dumps(settings.plugins)
    return ["--plugins", str(settings.plugins_dir), "--options", options, "--barred", kept_away]


def refuse_quarantined(plugins: Iterable[PluginInfo], settings: Settings) -> None:
    """Raises PluginError at the first plugin in quarantine, with its traceback, where plugins_strict is on."""
    bad = next((plugin for plugin in plugins if plugin.state is PluginState.QUARANTINED), None)
    if bad is not None and settings.plugins_strict:
        why = bad.reason.strip() or "no reason given"
        remedy = "mend it: plugins_strict is on, so nothing runs with a plugin in quarantine"
        raise PluginError(why, where=f"plugin {bad.name} ({bad.source})", remedy=remedy)
