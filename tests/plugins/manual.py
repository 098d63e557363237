"""The examples of docs/plugins.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"


def example(word: str) -> str:
    """The one example of a plugin that holds the word."""
    examples = re.findall(r"^```python\n(.*?)^```$", MANUAL.read_text(), re.S | re.M)
    (found,) = [code for code in examples if word in code]
    return str(found)
