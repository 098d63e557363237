"""Frozen values as plain JSON data, and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar, cast

SCHEMA = 1  # of every JSON document that leaves a process


T = TypeVar("T")


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
    """Plain JSON data as the dataclass it was made from.  Raises TypeError or KeyError where it does not fit."""
    return cast(T, _revive(kind, data))


def _revive(kind: Any, data: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return cast(Any, kind)(**{name: _revive(hints[name], value) for name, value in data.items()})
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _revive(next(a for a in arguments if a is not type(None)), data)
    if origin is tuple:
        kinds = [arguments[0]] * len(data) if arguments[-1] is ... else arguments
        return tuple(_revive(k, item) for k, item in zip(kinds, data, strict=True))
    if origin is dict:
        return dict(data)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(data)
    if kind is float and isinstance(data, int):
        return float(data)
    return data
