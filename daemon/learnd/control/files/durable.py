"""Writing so that it survives a power cut: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# A folder is synced through a descriptor just as a file is.
sync_folder = sync_file


def write_durably(path: Path, data: bytes) -> None:
    """Replace path by data: after a crash it holds either what it held before or all of data."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # on a full disk what could be written takes room from those who could do with it
        temporary.unlink(missing_ok=True)
        raise
    os.replace(temporary, path)
    sync_folder(path.parent)


def move_durably(source: Path, target: Path) -> None:
    """Rename a folder whose files are complete into its place; target must not exist, its parent may be new."""
    for file in sorted(source.iterdir()):
        sync_file(file)
    sync_folder(source)
    new_parent = not target.parent.is_dir()
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(source, target)
    sync_folder(target.parent)
    if new_parent:
        sync_folder(target.parent.parent)
