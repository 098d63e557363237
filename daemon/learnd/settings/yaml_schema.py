"""Typed YAML: reads a document against frozen dataclasses and names the place of everything wrong with it.

A field is a key, a nested dataclass a section, ``dict[str, X]`` a section whose names are free.  What a key
may hold stands beside it, in the field's metadata:

    help        what it is for, with its units
    min, max    the range of a number, both ends included
    choices     the words a text may be
    pattern     the regular expression that a whole text must match
    expected    what fits, in words, where the three above say it badly
    examples    good values, for the did-you-mean
    file_after  what follows this mark in a text is a path
    internal    True: no key, the program fills it in
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from learnd.errors import SettingsError
from learnd.settings.yaml_values import Misfit, convert, expected, is_null, mend, shown, tidy
from learnd.suggest import closest

T = TypeVar("T")
Trail = tuple[str, ...]  # the names that lead to a key: ("watch", "backend")

DEEPEST = 16  # levels of nesting: no document here needs more than four
FORBIDDEN = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # YAML 1.1, section 5.1


@dataclass(frozen=True)
class Document:
    """Where a piece of YAML is from.  base: where its relative paths start; lined: its lines have numbers."""

    name: str
    base: Path
    lined: bool = True

    def at(self, line: int) -> str:
        """Line counts from 0, as PyYAML's marks do."""
        return f"{self.name}:{line + 1}" if self.lined else self.name


@dataclass(frozen=True)
class SettingValue:
    """The value of one key, and who set it ("default", "config.yaml:12", "LEARND_STATE", "--state")."""

    trail: Trail
    value: Any
    origin: str


ReadResult = SettingValue | SettingsError


@dataclass(frozen=True)
class SchemaNode:
    """What may stand at one place of a document: the field's type and its metadata."""

    hint: Any
    rules: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def named(self) -> dict[str, SchemaNode]:
        """The keys of a section by name; none where its names are free, or where this is no section."""
        if not dataclasses.is_dataclass(self.hint):
            return {}
        hints = typing.get_type_hints(self.hint)
        public = [field for field in dataclasses.fields(self.hint) if not field.metadata.get("internal")]
        return {field.name: SchemaNode(hints[field.name], field.metadata) for field in public}

    @property
    def free(self) -> SchemaNode | None:
        """What every name of a ``dict[str, X]`` holds."""
        return SchemaNode(typing.get_args(self.hint)[1]) if typing.get_origin(self.hint) is dict else None

    @property
    def is_section(self) -> bool:
        return dataclasses.is_dataclass(self.hint) or self.free is not None

    def leaves(self, trail: Trail = ()) -> dict[Trail, SchemaNode]:
        """Every key below, in the order of the fields; a section of free names counts as one."""
        if not dataclasses.is_dataclass(self.hint):
            return {trail: self}
        found: dict[Trail, SchemaNode] = {}
        for name, slot in self.named.items():
            found |= slot.leaves((*trail, name))
        return found

    def find(self, trail: Trail) -> SchemaNode | None:
        """The slot at the end of a trail, or None."""
        slot: SchemaNode | None = self
        for name in trail:
            slot = slot and (slot.free or slot.named.get(name))
        return slot


def rules(help: str, **others: Any) -> dict[str, Any]:
    """The metadata of a field that is a key."""
    return {"help": help, **others}


def literal(text: str) -> Any:
    """A node that holds just this text, however it looks."""
    import yaml

    mark = yaml.Mark("", 0, 0, 0, "", 0)
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, mark, mark, style='"')


def parse(text: str, document: Document) -> Any:
    """The root node of one YAML document, None if it is empty.  Raises SettingsError."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _refuse_depth(yaml.parse(text, Loader=loader), document)
        return yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        what = f"no valid YAML: {error.problem or error.context}"
        remedy = "look at the indentation (spaces, no tabs), the colons and the quotes, here and one line up"
        if "nesting depth" in what:  # a newer libyaml refuses it itself
            what, remedy = "nested too deeply", f"use at most {DEEPEST} levels"
    except (yaml.YAMLError, UnicodeError):
        bad = re.search(FORBIDDEN, text)
        line = text.count("\n", 0, bad.start()) if bad else 0
        what, remedy = "no valid YAML: a control character", "save it as plain UTF-8 text"
    raise SettingsError(what, where=document.at(line), remedy=remedy)


def _refuse_depth(events: Iterable[Any], document: Document) -> None:
    # libyaml's events come one by one, but its nodes are composed by recursion in C: a file of 200,000
    # brackets would end the process, and a task.yaml may come from anybody.
    depth = 0
    for event in events:
        depth += type(event).__name__.endswith("StartEvent") - type(event).__name__.endswith("EndEvent")
        if depth > DEEPEST:
            where = document.at(event.start_mark.line)
            raise SettingsError("nested too deeply", where=where, remedy=f"use at most {DEEPEST} levels")


def walk(slot: SchemaNode, node: Any, document: Document, trail: Trail = ()) -> Iterator[ReadResult]:
    """Everything that a section says, and everything wrong with it.  One all commented out says nothing."""
    if node is None or is_null(node):
        return
    if node.id != "mapping":
        what = f"{'.'.join(trail) or 'this'} must be a section of keys and values, not {shown(node)}"
        where, remedy = document.at(node.start_mark.line), "write key: value, one a line"
        yield SettingsError(what, where=where, remedy=remedy)
        return
    named, free = slot.named, slot.free
    first: dict[str, int] = {}  # the line on which each name was first seen
    for key, value in node.value:
        line, name = key.start_mark.line, str(key.value) if key.id == "scalar" else shown(key)
        where, child = document.at(line), free or named.get(name)
        if name in first:
            what = f"{tidy('.'.join((*trail, name)))} is set twice, first on line {first[name] + 1}"
            yield SettingsError(what, where=where, remedy="keep one of the two")
        elif child is None:
            yield SettingsError(unknown(name, trail), where=where, remedy=meant(name, slot))
        else:
            yield from read(child, value, document, (*trail, name), where)
        first.setdefault(name, line)


def read(slot: SchemaNode, node: Any, document: Document, trail: Trail, origin: str) -> Iterator[ReadResult]:
    """What one key says: a value, or those of a section."""
    if slot.is_section:
        yield from walk(slot, node, document, trail)
        return
    try:
        yield SettingValue(trail, convert(slot.hint, slot.rules, node, document.base), origin)
    except Misfit as misfit:
        what = f"{tidy('.'.join(trail))} must be {expected(slot.hint, slot.rules)}, not {misfit}"
        remedy = mend(slot.hint, slot.rules, misfit.node)
        yield SettingsError(what, where=document.at(misfit.node.start_mark.line), remedy=remedy)


def unknown(name: str, trail: Trail) -> str:
    """The complaint about a key that does not exist."""
    return f'unknown key "{tidy(name)}"' + (f" in {'.'.join(trail)}" if trail else "")


def meant(name: str, slot: SchemaNode) -> str:
    """The key below slot that was probably meant, or all that there are."""
    keys = {dotted: dotted for dotted in slot.named}
    keys |= {trail[-1]: ".".join(trail) for trail in slot.leaves() if trail[-1] not in keys}
    guess = closest(name, keys)
    return f"did you mean {keys[guess]}?" if guess else f"the keys here are {', '.join(slot.named)}"


def settle(findings: Iterable[ReadResult], where: str) -> list[SettingValue]:
    """The findings, if none of them is an error; else raises them all as one SettingsError."""
    findings = list(findings)
    errors = [finding for finding in findings if isinstance(finding, SettingsError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listed = "".join(f"\n{textwrap.indent(str(error), '  ')}" for error in errors)
        raise SettingsError(f"{len(errors)} problems{listed}", where=where, each=errors)
    return [finding for finding in findings if isinstance(finding, SettingValue)]


def build(kind: type[T], values: Mapping[Trail, Any], trail: Trail = ()) -> T:
    """The dataclass made of these values; a key without one keeps its default."""
    arguments: dict[str, Any] = {}
    for name, slot in SchemaNode(kind).named.items():
        here = (*trail, name)
        if slot.free:
            arguments[name] = _nest({t[len(here) :]: v for t, v in values.items() if t[: len(here)] == here})
        elif slot.is_section:
            arguments[name] = build(slot.hint, values, here)
        elif here in values:
            arguments[name] = values[here]
    return kind(**arguments)


def _nest(values: Mapping[Trail, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for trail, value in values.items():
        section = nested
        for name in trail[:-1]:
            section = section.setdefault(name, {})
        section[trail[-1]] = value
    return nested
