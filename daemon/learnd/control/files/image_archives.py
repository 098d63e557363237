"""The images that a state keeps, within a budget of bytes.

An archive holds, of each class, images under the sha256 of their own bytes ("<class>/<sha256>.png"): each vouches for
itself, which is why an archive may lose some and still be trusted.  All archives keep the same number of images of each
class, those of the smallest sha256, and that number is the largest that fits (budget.py says of what it is reckoned).
Held-out images go last: they are what a new network is judged by.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from learnd.control.files.durable import write_durably
from learnd.errors import StateError
from learnd.identity import RESTORE
from learnd.messages.state_files import EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE

ARCHIVES = (EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE)
# Bytes of a zip: an image's name stands in it twice, each time with a header; and what ends it.
HEADERS, END = 30 + 46, 22
ALL = 1_000_000_000  # images of a class: no limit

Sizes = Mapping[str, Sequence[int]]  # of each class the bytes that each image takes in an archive, by order of sha256


@dataclass(frozen=True)
class Quota:
    """How many images of each class are kept at most: to learn from, and held out."""

    exemplars: int
    held_out: int

    def of(self, name: str) -> int:
        return self.exemplars if name == EXEMPLARS_FILE else self.held_out

    def tighter(self) -> Iterator[Quota]:
        """All that keep less, each one image per class less than the one before; the last keeps nothing."""
        yield from (Quota(number, ALL) for number in range(self.exemplars - 1, 0, -1))
        last = min(self.exemplars, 1)
        yield from (Quota(last, number) for number in range(self.held_out - 1, -1, -1))
        if last:
            yield Quota(0, 0)

    def exceeds(self, other: Quota) -> bool:
        """Whether it lets more of anything be kept."""
        return self.exemplars > other.exemplars or self.held_out > other.held_out


UNLIMITED = Quota(ALL, ALL)


@dataclass
class Levels:
    """What archives take, level by level: bytes[name][i] is that of the i-th image of every class of all of them."""

    archives: int = 0
    bytes: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in ARCHIVES})

    def add(self, name: str, sizes: Sizes, times: int = 1) -> None:
        """One archive more; times -1: one less."""
        levels = self.bytes[name]
        for own in sizes.values():
            levels += [0] * (len(own) - len(levels))
            for level, size in enumerate(own):
                levels[level] += times * size
        self.archives += times

    def total(self, quota: Quota) -> int:
        """The bytes of all archives under a quota."""
        return END * self.archives + sum(sum(levels[: quota.of(name)]) for name, levels in self.bytes.items())

    def fitting(self, most: int) -> Quota:
        """The first quota under which all archives together have at most so many bytes."""
        whole = Quota(*(len(self.bytes[name]) for name in ARCHIVES))
        fits = (one for one in (UNLIMITED, *whole.tighter()) if self.total(one) <= most)
        return next(fits, Quota(0, 0))  # empty archives have a few bytes, too


def archives_in(folder: Path) -> list[Path]:
    """The archives of a revision."""
    return [folder / name for name in ARCHIVES if (folder / name).is_file()]


def sizes_of(archive: Path) -> dict[str, list[int]]:
    """Of each class the bytes that each image takes, by order of sha256.  Raises StateError if it cannot be read."""
    with _Opened(archive) as opened:
        return {
            name: [one.compress_size + 2 * len(one.filename.encode()) + HEADERS for one in own]
            for name, own in _by_class(opened).items()
        }


def trim(archive: Path, most: int, twins: Iterable[Path] = ()) -> None:
    """Keep so many images of each class, those of the smallest sha256.

    twins: other names of the same file, which stay such.  After a crash each name has all or so many.  Raises
    StateError if the archive cannot be read, OSError if it cannot be written.
    """
    with _Opened(archive) as whole:
        kept = [one for own in _by_class(whole).values() for one in own[:most]]
        if len(kept) == len(whole.infolist()):
            return
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as smaller:
            for one in sorted(kept, key=lambda one: one.filename):
                smaller.writestr(one, whole.read(one))
    write_durably(archive, buffer.getvalue())
    for twin in twins:
        link(archive, twin)


def is_left_of(archive: Path, other: Path, most: int) -> bool:
    """Whether it holds what is left of another where so many images of each class are kept.

    Raises StateError if one cannot be read.
    """
    with _Opened(archive) as left, _Opened(other) as whole:
        kept = [one.filename for own in _by_class(whole).values() for one in own[:most]]
        return sorted(kept) == sorted(left.namelist())


def link(archive: Path, twin: Path) -> None:
    """A second name, which may have been another file's, becomes one of the archive's."""
    beside = twin.with_name(f".{twin.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()
    os.link(archive, beside)
    os.replace(beside, twin)


def vouch_for(archive: Path, expected: Mapping[str, int]) -> None:
    """Raises StateError unless each image is what its name says, and so many of each class, or more, are there."""
    found: dict[str, int] = {}
    with _Opened(archive) as opened:
        for member in opened.infolist():
            name = PurePosixPath(member.filename)
            if len(name.parts) != 2 or hashlib.sha256(opened.read(member)).hexdigest() != name.stem:
                what = f"{member.filename} is not the image that was kept"
                raise StateError(what, where=str(archive), remedy=RESTORE)
            found[name.parts[0]] = found.get(name.parts[0], 0) + 1
    for label, count in expected.items():
        if found.get(label, 0) < count:
            what = f"of {label!r} {found.get(label, 0)} images are there, and {count} were kept"
            raise StateError(what, where=str(archive), remedy=RESTORE)


class _Opened:
    """An archive to read; what is wrong with it is a StateError."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive

    def __enter__(self) -> zipfile.ZipFile:
        try:
            self._zip = zipfile.ZipFile(self._archive)
        except FileNotFoundError:
            raise StateError("is missing", where=str(self._archive), remedy=RESTORE) from None
        except (OSError, zipfile.BadZipFile) as error:
            raise StateError(f"cannot be read ({error})", where=str(self._archive), remedy=RESTORE) from error
        return self._zip

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._zip.close()
        if isinstance(error, zipfile.BadZipFile):
            raise StateError(f"cannot be read ({error})", where=str(self._archive), remedy=RESTORE) from error


def _by_class(opened: zipfile.ZipFile) -> dict[str, list[zipfile.ZipInfo]]:
    found: dict[str, list[zipfile.ZipInfo]] = {}
    for member in sorted(opened.infolist(), key=lambda one: one.filename):
        found.setdefault(member.filename.partition("/")[0], []).append(member)
    return found
