"""An algorithm's options: the fields of its dataclass, as they stand in config.yaml under ``plugins.<name>``."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from learnd.errors import PluginError
from learnd.learning.contract.algorithm import Algorithm
from learnd.messages.convert import BadJson, convert
from learnd.suggest import did_you_mean


def build(kind: type[Algorithm], options: Mapping[str, Any]) -> Algorithm:
    """Return an algorithm with these options; the others keep their defaults.

    Raises PluginError on an option that it does not have, a value of the wrong type, or a value that it refuses.
    """
    where = f"plugins.{kind.name}"
    hints = typing.get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(typing.cast(Any, kind)) if field.init]
    values: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            raise PluginError(f"has no option {key!r}", where=where, remedy=did_you_mean(str(key), known))
        try:
            if isinstance(value, dict):  # config.yaml has no place for an object here
                raise BadJson("", f"must be a value or a list of values, not {value!r}", "a value or a list of values")
            values[key] = convert(hints[key], value, "")
        except BadJson as error:
            remedy = f"write {error.expected}"
            raise PluginError(str(error).strip(), where=f"{where}.{key}", remedy=remedy) from error
    try:
        return kind(**values)
    except Exception as error:
        what = f"refuses {dict(options)!r}: {error}"
        raise PluginError(what, where=where, remedy="change the options") from error


def options_of(algorithm: Algorithm) -> dict[str, Any]:
    """Return every option as plain JSON data: ``build(type(algorithm), options_of(algorithm)) == algorithm``."""
    values = dataclasses.asdict(typing.cast(Any, algorithm))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
