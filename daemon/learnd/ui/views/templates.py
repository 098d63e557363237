"""The jinja2 templates of this package: every value is escaped, and a missing name is an error."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from learnd.identity import printable


def environment() -> Environment:
    """Control characters in a value are shown as escape sequences."""
    return Environment(
        loader=PackageLoader("learnd.ui.views", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_legible,
        keep_trailing_newline=True,
    )


def _legible(value: Any) -> Any:
    # The output of a macro is Markup: it is escaped already, and its line ends must stay.
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
