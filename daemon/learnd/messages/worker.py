"""What a worker says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from learnd.messages.plugins import PluginInfo


class WorkerState(StrEnum):
    """Where a worker stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"  # it was lost; the next one starts after a pause
    STOPPED = "stopped"


@dataclass(frozen=True)
class Hello:
    """The first line of a warm worker: what it is and what it holds."""

    device: str
    pid: int
    backbone: str
    backbone_hash: str
    plugins: tuple[PluginInfo, ...]
    versions: dict[str, str]  # torch, torchvision, python, learnd
    readers: tuple[str, ...] = ()  # extensions of files that plugins read, e.g. ".wav"
    observers: tuple[str, ...] = ()  # plugins that want to be told of events


@dataclass(frozen=True)
class Loaded:
    """What a warm worker says when it has loaded the plugins anew.  The fields are those of Hello."""

    plugins: tuple[PluginInfo, ...]
    readers: tuple[str, ...]
    observers: tuple[str, ...]
