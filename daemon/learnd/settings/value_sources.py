"""Where values come from, each layer over the one before: defaults < file < environment < flags."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from learnd.errors import SettingsError
from learnd.settings.yaml_schema import (
    Document,
    ReadResult,
    SchemaNode,
    SettingValue,
    Trail,
    literal,
    meant,
    parse,
    read,
    unknown,
    walk,
)
from learnd.settings.yaml_values import absolute
from learnd.suggest import did_you_mean

PREFIX = "LEARND_"
ONE_OR_NONE = {"1": "true", "0": "false"}  # as a switch is written in the environment, and nowhere else
# No settings: which file to read, and where the images for tests and benchmarks lie.
RESERVED = frozenset({"LEARND_CONFIG", "LEARND_DATA"})


def defaults(root: SchemaNode, base: Path) -> Iterator[SettingValue]:
    """What the dataclasses say; relative paths start from base."""
    values = root.hint()
    for trail, slot in root.leaves().items():
        if slot.free is None:
            value: Any = functools.reduce(getattr, trail, values)
            yield SettingValue(trail, absolute(value, base) if isinstance(value, Path) else value, "default")


def from_file(root: SchemaNode, source: Path, base: Path) -> Iterator[ReadResult]:
    """What a YAML file says; relative paths start from base.  Raises SettingsError if it is no YAML."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        remedy = "save it as plain UTF-8 text"
        raise SettingsError("no UTF-8 text", where=f"{source}:{line}", remedy=remedy) from None
    except OSError as error:
        remedy = "learnd init writes one; --config names another"
        raise SettingsError(f"cannot be read: {error.strerror}", where=str(source), remedy=remedy) from None
    document = Document(str(source), base)
    yield from walk(root, parse(text, document), document)


def from_environment(root: SchemaNode, environ: Mapping[str, str], base: Path) -> Iterator[ReadResult]:
    """What ``LEARND_<KEY>`` and ``LEARND_<SECTION>__<KEY>`` say, in YAML; another ``LEARND_`` is an error."""
    for name in sorted(name for name in environ if name.startswith(PREFIX) and name not in RESERVED):
        trail = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if slot := root.find(trail):
            text = ONE_OR_NONE.get(environ[name], environ[name]) if slot.hint is bool else environ[name]
            yield from _from_text(slot, text, Document(name, base, lined=False), trail)
            continue
        known = (PREFIX + "__".join(leaf).upper() for leaf in root.leaves())
        remedy = did_you_mean(name, known, f"unset it: {PREFIX} is the prefix of settings")
        yield SettingsError("no such setting", where=name, remedy=remedy)


def from_flags(root: SchemaNode, flags: Mapping[str, str], base: Path) -> Iterator[ReadResult]:
    """What flags say: {"watch.backend": "polling"} is called ``--watch-backend``."""
    for dotted, text in flags.items():
        trail, flag = tuple(dotted.split(".")), "--" + dotted.replace(".", "-").replace("_", "-")
        if slot := root.find(trail):
            yield from _from_text(slot, text, Document(flag, base, lined=False), trail)
        else:
            yield SettingsError(unknown(dotted, ()), where=flag, remedy=meant(dotted, root))


def _from_text(slot: SchemaNode, text: str, document: Document, trail: Trail) -> Iterator[ReadResult]:
    try:
        node = literal(text) if slot.hint in (str, Path) else parse(text, document)
    except SettingsError as error:
        yield error
    else:
        yield from read(slot, node or literal(text), document, trail, document.name)
