"""One YAML node as a typed value, and the words that say why it is none.

The rules of a value are the metadata of its field; ``schema`` says what each of them means.
"""

from __future__ import annotations

import math
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from learnd.suggest import closest

Rules = Mapping[str, Any]

WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
# Numbers as a person writes them.  YAML 1.1 would read 1e-3 as text, 010 as eight and 1:30 as ninety.
WHOLE = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
NUMBER = re.compile(r"[-+]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Misfit(Exception):
    """A node that does not fit; its text says what the node is instead."""

    def __init__(self, node: Any) -> None:
        super().__init__(shown(node))
        self.node = node


def convert(hint: Any, rules: Rules, node: Any, base: Path) -> Any:
    """The node as a value of the type ``hint``; a relative path starts from base.  Raises Misfit.

    Types: bool, int, float, str, Path, ``X | None``, ``str | tuple[str, ...]`` (one of the choices, or a list
    whose items all match the pattern) and Any (a value or a list of values, of the type it looks like).
    """
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if hint is Any:
        return [_guess(item) for item in node.value] if node.id == "sequence" else _guess(node)
    if types.NoneType in kinds and is_null(node):
        return None
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        return _word_or_list(rules, node, base)
    return _scalar(kinds[0], rules, node, base)


def _word_or_list(rules: Rules, node: Any, base: Path) -> str | tuple[str, ...]:
    if node.id == "scalar" and node.value in rules["choices"]:
        return str(node.value)
    if not node.value:
        raise Misfit(node)
    items = node.value if node.id == "sequence" else [node]  # one word is a list of one
    return tuple(_scalar(str, {**rules, "choices": ()}, item, base) for item in items)


def _scalar(kind: type, rules: Rules, node: Any, base: Path) -> Any:
    if node.id != "scalar" or is_null(node):
        raise Misfit(node)
    try:
        value = PARSERS[kind](node)
    except ValueError:
        raise Misfit(node) from None
    if not _allowed(value, rules):
        raise Misfit(node)
    if kind is Path:
        return absolute(value, base)
    head, mark, tail = value.partition(rules["file_after"]) if "file_after" in rules else (value, "", "")
    return f"{head}{mark}{absolute(tail, base)}" if mark else head


def _allowed(value: Any, rules: Rules) -> bool:
    if rules.get("choices") and value not in rules["choices"]:
        return False
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        return False
    return bool(rules.get("min", value) <= value <= rules.get("max", value))


def _whole(node: Any) -> int:
    if node.style or not WHOLE.fullmatch(node.value):
        raise ValueError(node.value)
    return int(node.value)


def _number(node: Any) -> float:
    if node.style or not NUMBER.fullmatch(node.value) or not math.isfinite(float(node.value)):
        raise ValueError(node.value)
    return float(node.value)


def _switch(node: Any) -> bool:
    if node.style or node.value.lower() not in WORDS:
        raise ValueError(node.value)
    return WORDS[node.value.lower()]


def _text(node: Any) -> str:
    if not is_text(node) or not node.value.strip() or "\0" in node.value:
        raise ValueError(node.value)
    return str(node.value)


PARSERS: Mapping[type, Callable[[Any], Any]] = types.MappingProxyType(
    {bool: _switch, int: _whole, float: _number, str: _text, Path: _text}
)


def _guess(node: Any) -> Any:
    """A value of whatever type it looks like."""
    if node.id != "scalar":
        raise Misfit(node)
    if is_null(node):
        return None
    for parser in (_switch, _whole, _number):
        try:
            return parser(node)
        except ValueError:
            continue
    return str(node.value)


def is_null(node: Any) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def is_text(node: Any) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:str")


def absolute(path: str | Path, base: Path) -> Path:
    """The path from base, ~ expanded, without "..", its links left alone."""
    return Path(os.path.abspath(base / os.path.expanduser(path)))


def plain(value: Any) -> Any:
    """A converted value as plain JSON data."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def expected(hint: Any, rules: Rules) -> str:
    """What fits, in words: "a whole number from 1 to 100"."""
    if "expected" in rules:
        return str(rules["expected"])
    if choices := rules.get("choices"):
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    kind = (typing.get_args(hint) or (hint,))[0]
    bounds = f" from {rules['min']:_} to {rules['max']:_}" if "min" in rules else ""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    return names.get(kind, "a value or a list of values") + bounds


def mend(hint: Any, rules: Rules, node: Any) -> str | None:
    """How to mend a node that does not fit, where that can be guessed."""
    if node.id != "scalar" or is_null(node):
        return None
    if hint in (str, str | None, Path) and not is_text(node) and not rules.keys() & {"choices", "pattern"}:
        return f'put it in quotes: "{tidy(node.value)}"'
    guess = closest(node.value, rules.get("examples", rules.get("choices", ())))
    return f"did you mean {guess}?" if guess else None


def shown(node: Any) -> str:
    """What a node is, in a few words."""
    if node.id != "scalar":
        return f"a {node.id}" if node.id == "mapping" else "a list" if node.value else "an empty list"
    if is_null(node):
        return "nothing"
    return f'the text "{tidy(node.value)}"' if node.style else tidy(node.value)


def tidy(text: str) -> str:
    """Text from a file, safe to show: one short line without control characters."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= 60 else f"{line[:57]}..."
