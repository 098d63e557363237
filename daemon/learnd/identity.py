"""Identity is content: what a task folder is, whatever its dates, its order or its place.  For both wings."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

_SLUG = 40  # characters of a name that stay readable in a task's id


def nfc(name: str) -> str:
    """The composed form of a name: "é" is one character, whoever wrote it."""
    return unicodedata.normalize("NFC", name)


def label(name: str) -> str:
    """The name of a task as it is shown and recorded: composed, and with what is no UTF-8 or no print escaped."""
    safe = nfc(name).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)


def task_id(name: str) -> str:
    """An id that is safe in a path, and the same for every revision of a name: "birds-1f0c8a2e".

    The readable part is ASCII, at most 40 characters; the 8 hex digits (of the sha256 of the NFC name) tell
    names apart that look the same without accents or in another alphabet.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG].strip("-") or "task"
    return f"{slug}-{hashlib.sha256(_bytes(nfc(name))).hexdigest()[:8]}"


def leaf_of(data: bytes) -> bytes:
    """The sha256 (32 bytes) of one file's content."""
    return hashlib.sha256(data).digest()


def digest_of_leaves(leaves: Iterable[tuple[str, bytes]]) -> str:
    """The digest of a task (64 hex digits) from (relative path, leaf_of(content)) pairs, in any order."""
    whole = hashlib.sha256()
    for path, leaf in sorted((_bytes(nfc(path)), leaf) for path, leaf in leaves):
        whole.update(len(path).to_bytes(4, "big") + path + leaf)
    return whole.hexdigest()


def digest_of(pairs: Iterable[tuple[str, bytes]]) -> str:
    """The digest of a task from (relative path, content) pairs: its images, and its task.yaml if it has one.

    The order does not matter, and no more than one content is held at a time.
    """
    return digest_of_leaves((path, leaf_of(data)) for path, data in pairs)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")  # a name that is not UTF-8 stays what it was on the disk
