"""The images that a state keeps, within a budget of bytes.

An archive holds, of each class, images under the sha256 of their own bytes ("<class>/<sha256>.png"): each vouches for
itself, which is why an archive may lose some and still be trusted.  All archives keep the same number of images of each
class, those of the smallest sha256, and that number is the largest that fits.  So what is kept depends on the tasks
that are known and not on the order in which they came.  Held-out images go last: they are what a new network is judged
by.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from learnd.control.durable import write_durably
from learnd.errors import StateError
from learnd.identity import RESTORE

EXEMPLARS, HELD_OUT = "exemplars.zip", "heldout.zip"
ARCHIVES = (EXEMPLARS, HELD_OUT)
# Bytes of a zip: an image's name stands in it twice, each time with a header; and what ends it.
HEADERS, END = 30 + 46, 22


@dataclass(frozen=True)
class Quota:
    """How many images of each class are kept at most: to learn from, and held out."""

    exemplars: int
    held_out: int

    def of(self, archive: Path) -> int:
        return self.exemplars if archive.name == EXEMPLARS else self.held_out

    def tighter(self) -> Iterator[Quota]:
        """All that keep less, each one image a class less than the one before; the last keeps nothing."""
        yield from (Quota(number, self.held_out) for number in range(self.exemplars - 1, 0, -1))
        last = min(self.exemplars, 1)
        yield from (Quota(last, number) for number in range(self.held_out - 1, -1, -1))
        if last:
            yield Quota(0, 0)


@dataclass(frozen=True)
class Evicted:
    """What an eviction has taken."""

    images: int
    bytes: int


def archives_below(tasks: Path) -> list[Path]:
    """The archives of every revision that the state holds, in sorted order."""
    return sorted(path for name in ARCHIVES for path in tasks.glob(f"*/*/{name}"))


def bytes_of(archives: Iterable[Path]) -> int:
    return sum(archive.stat().st_size for archive in archives)


def largest(archives: Iterable[Path]) -> Quota:
    """A quota under which all that is there stays.  Raises StateError where an archive cannot be read."""
    most = dict.fromkeys(ARCHIVES, 0)
    for archive in archives:
        most[archive.name] = max([most[archive.name], *map(len, _sizes(archive).values())])
    return Quota(most[EXEMPLARS], most[HELD_OUT])


def fitting(archives: Sequence[Path], quota: Quota, most: int) -> Quota:
    """The first quota, from this one on, under which all archives together have at most so many bytes.

    Raises StateError where an archive cannot be read.
    """
    sizes = [(archive, _sizes(archive)) for archive in archives]

    def total(quota: Quota) -> int:
        images = sum(sum(own[: quota.of(archive)]) for archive, classes in sizes for own in classes.values())
        return images + END * len(sizes)

    for one in (quota, *quota.tighter()):
        if total(one) <= most:
            return one
    return Quota(0, 0)  # empty archives have a few bytes, too


def trim(archive: Path, most: int) -> Evicted:
    """Keep so many images of each class, those of the smallest sha256; after a crash, all or so many are there.

    Raises StateError where the archive cannot be read, OSError where it cannot be written.
    """
    with _Opened(archive) as whole:
        kept = [one for own in _by_class(whole).values() for one in own[:most]]
        gone = len(whole.infolist()) - len(kept)
        if not gone:
            return Evicted(0, 0)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as smaller:
            for one in sorted(kept, key=lambda one: one.filename):
                smaller.writestr(one, whole.read(one))
    before = archive.stat().st_size
    write_durably(archive, buffer.getvalue())
    return Evicted(gone, before - archive.stat().st_size)


def vouch_for(archive: Path) -> None:
    """Raises StateError unless every image of an archive is what its name says."""
    with _Opened(archive) as opened:
        for member in opened.infolist():
            if hashlib.sha256(opened.read(member)).hexdigest() != PurePosixPath(member.filename).stem:
                what = f"{member.filename} is not the image that was kept"
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


def _sizes(archive: Path) -> dict[str, list[int]]:
    """Of each class the bytes that each image takes in the archive, by order of sha256."""
    with _Opened(archive) as opened:
        return {
            name: [one.compress_size + 2 * len(one.filename.encode()) + HEADERS for one in own]
            for name, own in _by_class(opened).items()
        }


def _by_class(opened: zipfile.ZipFile) -> dict[str, list[zipfile.ZipInfo]]:
    found: dict[str, list[zipfile.ZipInfo]] = {}
    for member in sorted(opened.infolist(), key=lambda one: one.filename):
        found.setdefault(member.filename.partition("/")[0], []).append(member)
    return found
