"""What a worker says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from learnd.messages.convert import convert
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
    observers: tuple[str, ...] = ()  # plugins that want to receive events


@dataclass(frozen=True)
class StageProgress:
    """How far a job is: its stage, and done of its total steps.  algorithm: the one at work, "" for none."""

    stage: str
    done: int
    total: int
    algorithm: str = ""


@dataclass(frozen=True)
class Importing:
    """The plugin that a worker imports next.  If that ends the process, this was its last word."""

    name: str
    source: str


@dataclass(frozen=True)
class Loaded:
    """What a warm worker says when it has loaded the plugins again.  The fields are those of Hello."""

    plugins: tuple[PluginInfo, ...]
    readers: tuple[str, ...]
    observers: tuple[str, ...]


# What a worker may say: one JSON object per line, with one of these keys.
MESSAGES: Mapping[str, Any] = MappingProxyType(
    {
        "beat": bool,  # it is alive
        "progress": StageProgress,
        "importing": Importing | None,
        "hello": Hello,
        "loaded": Loaded,
        "done": str,  # the path of its result.json
        "unwritten": str,  # why it could not even write that
        "failed": str,  # why it could not start
    }
)


def read_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a worker's message with its values as MESSAGES has them; other keys stay as they are.  Raises BadJson."""
    return {key: convert(MESSAGES[key], value, key) if key in MESSAGES else value for key, value in message.items()}
