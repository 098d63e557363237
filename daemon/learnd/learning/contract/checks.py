"""Does a plugin keep the contract of `algorithm.py` and `hooks.py`?  Asked once, at load, so that blame is precise."""

from __future__ import annotations

import dataclasses
import inspect
import json
import keyword
import re
from collections.abc import Callable, Sequence
from typing import Any

from learnd.errors import PluginError
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.contract.options import build, options_of
from learnd.learning.networks.readers import Reader
from learnd.learning.networks.zoo import Builder
from learnd.messages.task import EXTENSIONS


def check_class(kind: object) -> type[Algorithm]:
    """The class, if it keeps the contract.  Raises PluginError that says which part of it is broken."""
    where = getattr(kind, "__qualname__", repr(kind))
    if not isinstance(kind, type) or not issubclass(kind, Algorithm):
        remedy = "return classes that derive from Algorithm, not instances"
        raise PluginError("is not a subclass of Algorithm", where=where, remedy=remedy)
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise PluginError(f"does not define {missing}", where=where, remedy=f"define {missing}")
    _check_names(kind, where)
    _check_options(kind, where)
    return kind


def check_algorithms(answer: object, where: str) -> Sequence[object]:
    """What learnd_algorithms returned, if it is a list of something.  Raises PluginError."""
    if not isinstance(answer, list | tuple) or not answer:
        what = f"learnd_algorithms returned {answer!r}"
        raise PluginError(what, where=where, remedy="return a list of Algorithm classes")
    return answer


def check_readers(answer: object, where: str) -> dict[str, Reader]:
    """What learnd_readers returned, if it keeps the contract.  Raises PluginError."""
    if not isinstance(answer, dict):
        remedy = 'return a dict such as {".wav": read}'
        raise PluginError(f"learnd_readers returned {answer!r}", where=where, remedy=remedy)
    for extension, read in answer.items():
        if not isinstance(extension, str) or not re.fullmatch(r"\.[a-z0-9]+", extension):
            remedy = 'write it in lower case with one dot, such as ".wav"'
            raise PluginError(f"{extension!r} is no extension", where=where, remedy=remedy)
        if extension in EXTENSIONS:
            raise PluginError(f"learnd reads {extension} files itself", where=where, remedy="leave it out")
        if not callable(read):
            raise PluginError(f"its reader of {extension} is {read!r}", where=where, remedy="hand over a function")
    return answer


def check_backbones(answer: object, where: str) -> dict[str, Builder]:
    """What learnd_backbones returned, if it keeps the contract.  Raises PluginError."""
    remedy = 'return a dict such as {"tiny": build}, of lower-case identifiers and functions'
    if not isinstance(answer, dict):
        raise PluginError(f"learnd_backbones returned {answer!r}", where=where, remedy=remedy)
    for name, build_it in answer.items():
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not callable(build_it):
            raise PluginError(f"its backbone {name!r} is {build_it!r}", where=where, remedy=remedy)
    return answer


CHECKS: dict[str, Callable[[object, str], Any]] = {  # of what each hook returns
    "learnd_algorithms": check_algorithms,
    "learnd_readers": check_readers,
    "learnd_backbones": check_backbones,
}


def _check_names(kind: type[Algorithm], where: str) -> None:
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or not name.islower():
        remedy = 'set a class variable such as name = "nearest_mean"'
        raise PluginError(f"its name {name!r} is no lower-case identifier", where=where, remedy=remedy)
    summary = getattr(kind, "summary", None)
    if not isinstance(summary, str) or not summary.strip() or "\n" in summary:
        remedy = 'set a class variable such as summary = "nearest class mean"'
        raise PluginError(f"its summary {summary!r} is not one line", where=where, remedy=remedy)
    kinds = (type(getattr(kind, "paper", None)), type(getattr(kind, "transductive", None)))
    if kinds != (str, bool):
        what = "paper must be a text and transductive true or false"
        raise PluginError(what, where=where, remedy="mend them")


def _check_options(kind: type[Algorithm], where: str) -> None:
    parameters = kind.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        remedy = "put @dataclass(frozen=True) above the class"
        raise PluginError("is not a frozen dataclass", where=where, remedy=remedy)
    for option in dataclasses.fields(kind):  # type: ignore[arg-type]  # a dataclass, as was just seen
        if option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING:
            remedy = "give every option a default"
            raise PluginError(f"its option {option.name!r} has no default", where=where, remedy=remedy)
        if option.name in ("enabled", "name", "summary", "paper", "transductive"):
            remedy = "call it otherwise, or annotate it as ClassVar"
            raise PluginError(f"{option.name!r} cannot be an option", where=where, remedy=remedy)
    remedy = "annotate options as int, float, str, bool, Literal[...], tuple[X, ...] or X | None"
    default = kind()
    try:
        survives = build(kind, json.loads(json.dumps(options_of(default)))) == default
    except (PluginError, TypeError) as error:
        what = f"its defaults cannot be written in config.yaml: {error}"
        raise PluginError(what, where=where, remedy=remedy) from error
    if not survives:
        raise PluginError("its options do not survive config.yaml", where=where, remedy=remedy)
