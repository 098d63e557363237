"""What lies in a folder, by stat alone: a scan is the truth that an event only rings for.

Also the one place that says which names are not looked at, and which entries of the watched folder are tasks.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from learnd.messages.task import EXTENSIONS

MARKER = ".ready"
OPTIONS = "task.yaml"

_LITTER = frozenset({"thumbs.db", "desktop.ini", "@eadir", "__macosx"})  # .DS_Store and ._* are dot-names
_UNFINISHED = (".part", ".tmp")


class Kind(StrEnum):
    """What an entry is.  The values past UNFINISHED are the codes of the problems they make."""

    FILE = "file"  # a regular file, or a link to one within the folder
    FOLDER = "folder"
    UNFINISHED = "unfinished"  # *.part, *.tmp: never learnt, but its growth means the folder still grows
    LINK_OUTSIDE = "symlink-outside"
    LINK_BROKEN = "symlink-broken"
    LINK_LOOP = "symlink-loop"
    LINK_FOLDER = "symlink-folder"  # within the folder; its images would count twice
    SPECIAL = "not-a-file"  # a fifo, a socket, a device: never opened
    UNREADABLE = "unreadable"


class FileEntry(NamedTuple):
    """One name in a folder.  path is relative, with "/"; size in bytes, mtime in ns (both 0 for a folder)."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    kind: Kind


@dataclass(frozen=True)
class Scan:
    """A folder at one moment.  Two scans with one fingerprint saw the same files, byte counts and dates."""

    entries: tuple[FileEntry, ...]  # sorted by path
    fingerprint: str
    marker: bool  # .ready lies there; it is no part of the fingerprint
    images: int  # files that look like images by their names
    unfinished: int


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is never learnt from: dot-names, litter, unfinished copies."""
    return _is_litter(name) or is_unfinished(name)


def is_unfinished(name: str) -> bool:
    """Whether the name is that of a copy or a download under way."""
    return name.lower().endswith(_UNFINISHED)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def is_image(name: str, readers: tuple[str, ...] = ()) -> bool:
    """Whether the name is that of an image that can be learnt from; its content is another matter.

    readers: the extensions that plugins read, e.g. ".wav".
    """
    return name.lower().endswith((*EXTENSIONS, *readers))


def scan(folder: str | Path) -> Scan | None:
    """Stat everything in a task folder that is not ignored; None if there is no such folder.

    Links to folders are not followed (the folder itself may be one).  What disappears meanwhile is left out;
    what may not be read is an entry of kind "unreadable".
    """
    root = os.fspath(folder)
    if not os.path.isdir(root):
        return None
    entries = sorted(_walk(root))
    return Scan(
        entries=tuple(entries),
        fingerprint=_fingerprint(entries),
        marker=os.path.lexists(os.path.join(root, MARKER)),
        images=sum(entry.kind is Kind.FILE and is_image(entry.path) for entry in entries),
        unfinished=sum(entry.kind is Kind.UNFINISHED for entry in entries),
    )


def task_folders(root: str | Path) -> tuple[str, ...]:
    """The names in the watched folder that are tasks, sorted: its directories, and links to directories.

    A link at this level is followed, because a person put it there.  Raises OSError if root cannot be listed.
    """
    with os.scandir(root) as children:
        return tuple(sorted(child.name for child in children if not is_ignored(child.name) and _is_dir(child)))


def _is_dir(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link that goes round in circles
        return False


def _walk(root: str) -> Iterator[FileEntry]:
    pending = [("", False)]
    while pending:
        prefix, unfinished = pending.pop()
        try:
            with os.scandir(os.path.join(root, prefix)) as listing:
                children = list(listing)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it vanished since its parent was listed
        except OSError:
            yield FileEntry(prefix.rstrip("/") or ".", 0, 0, 0, Kind.UNREADABLE)
            continue
        for child in children:
            if _is_litter(child.name):
                continue
            partial = unfinished or is_unfinished(child.name)
            entry = _entry(root, prefix + child.name, child, partial)
            if entry is None:
                continue
            yield entry
            if entry.kind is not Kind.UNREADABLE and child.is_dir(follow_symlinks=False):
                pending.append((f"{entry.path}/", partial))


def _entry(root: str, path: str, child: os.DirEntry[str], unfinished: bool) -> FileEntry | None:
    try:
        status = child.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            kind = Kind.FILE
        elif stat.S_ISDIR(status.st_mode):
            # A folder's own date moves with every ignored file in it: only its being there counts.
            return FileEntry(path, 0, 0, status.st_ino, Kind.UNFINISHED if unfinished else Kind.FOLDER)
        elif stat.S_ISLNK(status.st_mode):
            kind, status = _follow(root, child.path, status)
        else:
            kind = Kind.SPECIAL
    except FileNotFoundError:
        return None
    except OSError:
        return FileEntry(path, 0, 0, 0, Kind.UNREADABLE)
    kind = Kind.UNFINISHED if unfinished else kind
    return FileEntry(path, status.st_size, status.st_mtime_ns, status.st_ino, kind)


def _follow(root: str, path: str, link: os.stat_result) -> tuple[Kind, os.stat_result]:
    try:
        target = os.stat(path)
    except FileNotFoundError:
        return Kind.LINK_BROKEN, link
    except OSError as error:
        return (Kind.LINK_LOOP if error.errno == errno.ELOOP else Kind.UNREADABLE), link
    inside = os.path.realpath(path).startswith(os.path.realpath(root) + os.sep)
    if not inside:
        return Kind.LINK_OUTSIDE, link
    if stat.S_ISDIR(target.st_mode):
        return Kind.LINK_FOLDER, link
    return (Kind.FILE if stat.S_ISREG(target.st_mode) else Kind.SPECIAL), target


def _fingerprint(entries: list[FileEntry]) -> str:
    lines = "\0".join(f"{e.path}\0{e.size} {e.mtime_ns} {e.inode} {e.kind}" for e in entries)
    return hashlib.blake2b(lines.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
