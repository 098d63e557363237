"""The user's plugins folder as files: which of them count, and have they changed?  Imports none of them.

The daemon, its workers and the commands must agree on that, so it stands below all three.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

META = "meta"  # the folder within it of what algorithms have meta-learnt
TEST = "test_"  # how the name of a plugin's test begins
UNFINISHED = ".training.safetensors"  # how the snapshot of a meta-training ends, which may lie beside its result


def is_plugin(name: str) -> bool:
    """Whether a file of this name is a plugin.  The tests of plugins may lie beside them."""
    return name.endswith(".py") and not name.startswith((".", "_", TEST)) and name != "conftest.py"


def is_meta(name: str) -> bool:
    """Whether a file of this name, in META, is a meta checkpoint."""
    return name.endswith(".safetensors") and not name.endswith(UNFINISHED) and not name.startswith(".")


def fingerprint(folder: Path) -> str:
    """Name, date, size and inode of every plugin and meta checkpoint in the folder, as one hex digest.

    Another one means that there is something to load again.  A folder that is not there holds nothing.
    """
    files = [_files(folder, is_plugin), _files(folder / META, is_meta)]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _files(folder: Path, counts: Callable[[str], bool]) -> list[tuple[str, int, int, int]]:
    try:
        names = sorted(filter(counts, os.listdir(folder)))
    except OSError:  # not there, no folder, or not for us to read: then a worker finds nothing in it either
        return []
    return [_file(folder / name) for name in names]


def _file(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:  # gone meanwhile, or a link that leads nowhere: the worker says so, by that name
        return (path.name, 0, 0, 0)
    return (path.name, status.st_mtime_ns, status.st_size, status.st_ino)
