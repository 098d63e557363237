"""The text of a config.yaml that says every key, made from the settings themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from learnd.settings.keys import Settings
from learnd.settings.yaml_schema import SchemaNode
from learnd.settings.yaml_values import plain

WIDTH = 110  # of a line of comment
HEADER = """The settings of learnd. This file lists every key with its default; you may leave out any of them.
Relative paths start from the folder of this file. Environment variables (LEARND_WATCH__BACKEND=polling) and
flags override this file. "learnd config show" says where each value comes from."""

PLUGIN_EXAMPLES = {
    "plugins": """matching:
  context: true     # full context embeddings
ridge:
  strength: 1.0     # of the regularisation
finetune:
  blocks: 1         # tune this many of the last blocks, after the head
  steps: 100        # gradient steps
  rate: 0.001       # learning rate"""
}


def template() -> str:
    """What ``learnd init`` writes, and what lies as config.yaml in the repository."""
    lines = [*_comment(HEADER, ""), *_section(SchemaNode(Settings), Settings(), "")]
    return "\n".join(lines) + "\n"


def _section(section: SchemaNode, values: Any, indent: str) -> Iterator[str]:
    for name, slot in section.named.items():
        value, rules = getattr(values, name), slot.rules
        bounds = f" From {rules['min']:_} to {rules['max']:_}." if "min" in rules else ""
        if not indent:
            yield ""
        yield from _comment(rules["help"] + bounds, indent)
        if slot.is_section:
            yield f"{indent}{name}:"
            yield from _section(slot, value, indent + "  ")
            yield from _comment(PLUGIN_EXAMPLES.get(name, ""), indent + "  ")
        else:
            yield f"{indent}{name}: {_yaml(value)}"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from textwrap.wrap(line, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}"
    return str(plain(value))
