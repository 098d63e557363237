"""Tests about missing rights, also where the tests run as root, for whom every file is readable."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

NOBODY = 65534


class Unprivileged:
    """While entered, the process has no more rights than `nobody`; place is a folder that anyone can reach."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.place.chmod(0o755)
        self._root = os.geteuid() == 0

    def __enter__(self) -> None:
        if self._root:
            os.seteuid(NOBODY)

    def __exit__(self, *_: object) -> None:
        if self._root:
            os.seteuid(0)

    def clean(self) -> None:
        """Remove place, whatever the tests did to its rights."""
        for folder, _, _ in os.walk(self.place):
            os.chmod(folder, 0o755)
        shutil.rmtree(self.place)
