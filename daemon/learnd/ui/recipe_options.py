"""The fields of a Recipe as options of the command line, and how their values are read."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click

from learnd.settings.meta_training_recipe import Recipe


def recipe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every field of Recipe, with its default, range and help."""
    hints = typing.get_type_hints(Recipe)
    for field in reversed(dataclasses.fields(Recipe)):
        rules, flag = field.metadata, f"--{field.name.replace('_', '-')}"
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        reading = _reading(hints[field.name], rules)
        help = f"{rules['help']}  [default: {default}]"
        function = click.option(flag, default=default, help=help, **reading)(function)
    return function


def _reading(hint: Any, rules: Mapping[str, Any]) -> dict[str, Any]:
    """How click reads a value of this type."""
    if "choices" in rules:
        return {"type": click.Choice(rules["choices"])}
    if hint is int:
        return {"type": click.IntRange(rules["min"], rules["max"]), "metavar": "NUMBER"}
    if hint is float:
        return {"type": click.FloatRange(rules["min"], rules["max"]), "metavar": "NUMBER"}
    if hint is str:
        return {"callback": partial(_match, rules["pattern"]), "metavar": "WORD"}
    return {"callback": partial(_numbers, rules["min"]), "metavar": "NUMBERS"}


def _match(pattern: str, _ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(pattern, value):
        raise click.BadParameter(f"{value!r} does not match {pattern}")
    return value


def _numbers(least: int, _ctx: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """5, or 5,20, or 5-20."""
    found: list[int] = []
    for part in value.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or not least <= int(first) <= int(last) <= 10_000:
            raise click.BadParameter(f"{value!r} is not like 5, or 5,20, or 5-20, each at least {least}")
        found += range(int(first), int(last) + 1)
    return tuple(dict.fromkeys(found))


def parse_option(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE, each value read as JSON where it is some: steps=5, head=zero, blocks=null."""
    options: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options
