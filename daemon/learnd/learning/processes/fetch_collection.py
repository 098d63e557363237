"""Have torchvision fetch a collection of images into a folder.

    python -m learnd.learning.processes.fetch_collection NAME ROOT

A process of its own: it brings in torch, and may take long.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from http.client import HTTPException


def fetch(name: str, root: str) -> None:
    """Below root, where torchvision's data set of this name puts it.  Raises OSError or RuntimeError."""
    from torchvision import datasets

    if name == "omniglot":
        datasets.Omniglot(root, background=False, download=True)
    elif name == "eurosat":
        datasets.EuroSAT(root, download=True)
    else:
        datasets.DTD(root, download=True)


def main(arguments: Sequence[str]) -> int:
    name, root = arguments
    try:
        fetch(name, root)
    except (OSError, HTTPException, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
