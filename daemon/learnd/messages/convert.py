"""Frozen values as plain JSON data, and back.  The one place that decides which JSON fits which type."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeVar, cast

SCHEMA = 1  # of every JSON document that leaves a process

Json = dict[str, Any]  # an object of plain JSON data
T = TypeVar("T")


class BadJson(ValueError):
    """JSON data that does not fit its type.  The text names the field, what it must be and what it is.

    expected: what it must be, in words.
    """

    def __init__(self, where: str, what: str, expected: str = "") -> None:
        super().__init__(f"{where} {what}")
        self.expected = expected


def legible(data: Any) -> Any:
    """JSON data with whatever is no Unicode text (lone surrogates) escaped, so that it can be stored and shown."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {legible(key): legible(value) for key, value in data.items()}
    return [legible(item) for item in data] if isinstance(data, list) else data


def to_json(value: Any) -> Any:
    """A frozen value as plain JSON data."""
    return dataclasses.asdict(value)


def to_json_all(values: Iterable[Any]) -> list[Any]:
    """Frozen values as a list of plain JSON data."""
    return [to_json(value) for value in values]


def from_json(kind: type[T], data: Any) -> T:
    """JSON data as the dataclass it was made from.

    Strict: raises BadJson, which names the field, when a field is missing, unknown or of another type.
    """
    return cast(T, convert(kind, data, kind.__name__))


def convert(kind: Any, data: Any, where: str) -> Any:
    """JSON data as a value of the type `kind`.  Raises BadJson that begins with `where`.

    Types: bool, int, float (a whole number fits too), str, None, Any, StrEnum, Literal, dataclasses, unions,
    tuple[X, ...], tuple[X, Y], list[X] and dict[str, X].
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data, where)
    if origin in (typing.Union, types.UnionType):
        return _union(kind, data, where)
    if origin is tuple:
        return _tuple(kind, data, where)
    if origin is list and isinstance(data, list):
        return [convert(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(data)]
    if origin is dict and isinstance(data, dict) and all(isinstance(key, str) for key in data):
        return {key: convert(arguments[1], item, f"{where}.{key}") for key, item in data.items()}
    if origin is Literal and any(type(data) is type(one) and data == one for one in arguments):
        return data
    if kind is float and type(data) is int:
        return float(data)
    if kind in (bool, int, float, str, type(None)) and type(data) is kind:
        return data
    if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(data, str) and data in _values(kind):
        return kind(data)
    raise _misfit(kind, data, where)


def _dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _misfit(kind, data, where)
    hints, required = _fields(kind)
    for name in data:
        if name not in hints:
            raise BadJson(f"{where}.{name}", f"is unknown: {kind.__name__} has no such field")
    for name in required:
        if name not in data:
            raise BadJson(f"{where}.{name}", f"is missing: it must be {described(hints[name])}")
    return kind(**{name: convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _union(kind: Any, data: Any, where: str) -> Any:
    """The first alternative that fits.  One dataclass or None: its own error says more than that nothing fits."""
    alternatives = [one for one in typing.get_args(kind) if one is not type(None)]
    if data is None and len(alternatives) < len(typing.get_args(kind)):
        return None
    if len(alternatives) == 1 and (dataclasses.is_dataclass(alternatives[0]) or isinstance(data, list)):
        return convert(alternatives[0], data, where)
    for alternative in alternatives:
        try:
            return convert(alternative, data, where)
        except BadJson:
            continue
    raise _misfit(kind, data, where)


def _tuple(kind: Any, data: Any, where: str) -> Any:
    arguments = typing.get_args(kind)
    if not isinstance(data, list | tuple):
        raise _misfit(kind, data, where)
    kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(data):
        raise _misfit(kind, data, where)
    pairs = zip(kinds, data, strict=True)
    return tuple(convert(one, item, f"{where}[{number}]") for number, (one, item) in enumerate(pairs))


@cache
def _fields(kind: Any) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The type of each field, and the fields without a default."""
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    unset = dataclasses.MISSING
    required = tuple(one.name for one in fields if one.default is unset and one.default_factory is unset)
    return {field.name: hints[field.name] for field in fields}, required


@cache
def _values(kind: type[StrEnum]) -> frozenset[str]:
    return frozenset(kind)


def _misfit(kind: Any, data: Any, where: str) -> BadJson:
    expected, found = described(kind), repr(data)
    found = found if len(found) <= 60 else f"{found[:57]}..."
    return BadJson(where, f"must be {expected}, not {found}", expected)


def described(kind: Any) -> str:
    """A type in words: "a whole number or null"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    if kind in words:
        return words[kind]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " or ".join(repr(str(one)) for one in kind)
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(described(argument) for argument in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} items"
    if origin in (tuple, list):
        return f"a list, each item {described(arguments[0])}"
    if origin is dict:
        return f"an object, each value {described(arguments[1])}"
    return f"an object with the fields of {kind.__name__}" if isinstance(kind, type) else str(kind)
