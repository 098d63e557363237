"""Identity is content: what a folder or a file is, whatever its dates or its place; and names.  For both wings."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from learnd.errors import StateError, StateUnavailable

_JOINERS = "\u200c\u200d"  # they belong to how Persian, Hindi and emoji are written
RESTORE = "restore it from a backup of the state folder"
_SLUG = 40  # characters of a name that stay readable in a task's id


def nfc(name: str) -> str:
    """The composed form of a name: "é" is one character, whoever wrote it."""
    return unicodedata.normalize("NFC", name)


def printable(text: str) -> str:
    """Names come from anybody's folders: what could steer a terminal, or is no Unicode, is escaped.

    Letters, signs and joiners of every script stay, and so do their spaces (no-break, ideographic).
    """
    if text.isprintable():  # nearly always
        return text
    return "".join(c if _is_plain(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _is_plain(c: str) -> bool:
    return c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs"


def label(name: str) -> str:
    """The name of a task as it is recorded, shown and asked for: composed, and printable.  A label's is itself."""
    return printable(nfc(name))


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


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hex.  Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def vouch(path: Path, sha256: str) -> None:
    """Raises StateError unless a file of the state holds what was committed, the content with this sha256.

    Raises StateUnavailable if this user may not read it.
    """
    try:
        what = "" if sha256_of(path) == sha256 else "is not what was committed"
    except FileNotFoundError:
        what = "is missing"
    except PermissionError:
        remedy = "give this user the right to read it: nothing is damaged"
        raise StateUnavailable("this user may not read it", where=str(path), remedy=remedy) from None
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
    if what:
        raise StateError(what, where=str(path), remedy=RESTORE)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")  # a name that is not UTF-8 stays what it was on the disk
