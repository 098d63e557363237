"""Load the settings: defaults < config.yaml < ``LEARND_*`` environment < flags."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from learnd.errors import SettingsError
from learnd.messages.task import TaskOptions
from learnd.settings.keys import Settings
from learnd.settings.value_sources import defaults, from_environment, from_file, from_flags
from learnd.settings.yaml_schema import Document, ReadResult, SchemaNode, Trail, build, parse, settle, walk
from learnd.settings.yaml_values import absolute, plain

NO_FLAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class SettingLine:
    """One line of ``learnd config show``.  value is plain JSON data; origin says who set it."""

    key: str
    value: Any
    origin: str
    help: str


def load(
    config: Path | None = None, flags: Mapping[str, str] = NO_FLAGS, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of this process.

    config: the file to read; without it ``config.yaml`` in the working folder, or else the defaults.
    flags: dotted key -> text, e.g. {"watch.backend": "polling"}; errors and origins say ``--watch-backend``.
    Relative paths start from the file's folder; those of flags and environment, and all without a file, from
    the working folder.  Raises one SettingsError that lists everything wrong.
    """
    root, here, usual = SchemaNode(Settings), Path.cwd(), Path("config.yaml")
    source = config or (usual if usual.is_file() else None)
    base = absolute(source, here).parent if source else here
    findings: list[ReadResult] = [*defaults(root, base)]
    findings += from_file(root, source, base) if source else []
    findings += from_environment(root, environ, here)
    findings += from_flags(root, flags, here)
    found = settle(findings, "settings")
    settings = build(Settings, {one.trail: one.value for one in found})
    origins = {".".join(one.trail): one.origin for one in found}
    _check_apart(settings, origins)
    return dataclasses.replace(settings, origins=origins, source=absolute(source, here) if source else None)


def read_task_options(text: str, where: str) -> TaskOptions:
    """The task.yaml with this text; where names it in errors.  Raises one SettingsError for all faults."""
    document = Document(where, Path())
    found = settle(walk(SchemaNode(TaskOptions), parse(text, document), document), where)
    return build(TaskOptions, {one.trail: one.value for one in found})


def flatten(settings: Settings) -> list[SettingLine]:
    """Every key with its value and its origin, in the order of config.yaml."""
    return [
        SettingLine(dotted, plain(value), settings.origins.get(dotted, "default"), str(slot.rules["help"]))
        for trail, slot in SchemaNode(Settings).leaves().items()
        for dotted, value in _values(settings, trail)
    ]


def _values(settings: Settings, trail: Trail) -> Iterator[tuple[str, Any]]:
    value: Any = functools.reduce(getattr, trail, settings)
    if not isinstance(value, dict):
        yield ".".join(trail), value
        return
    for name, options in value.items():
        yield from ((".".join((*trail, name, option)), chosen) for option, chosen in options.items())


def _check_apart(settings: Settings, origins: Mapping[str, str]) -> None:
    # A state within the watched folder would be taken for a task, and tasks within a state mix with its own.
    tasks, state = settings.tasks, settings.state
    if tasks == state or tasks in state.parents or state in tasks.parents:
        where = next((origins[name] for name in ("state", "tasks") if origins[name] != "default"), None)
        what = f"tasks ({tasks}) and state ({state}) must be two folders, none inside the other"
        raise SettingsError(what, where=where, remedy="move one of them")
