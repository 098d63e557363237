"""The images to meta-train on: many classes, all resident as uint8, from folders or from archives."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from learnd.errors import LearndError, SettingsError
from learnd.learning.networks.images import Preprocess, load_batch
from learnd.settings.meta_training_recipe import Corpus

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
READ = 1024  # files whose bytes are held at a time


@dataclass(frozen=True)
class ImageClasses:
    """Images of many classes.  images: uint8 (M, C, S, S); rows: a class's row numbers (M_k,), on the CPU.

    names[k] is "<group>/<class>" (or "<class>"), groups[k] the number of its group (alphabet), int64 (K,).
    """

    images: Tensor
    rows: tuple[Tensor, ...]
    groups: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def sizes(self) -> Tensor:
        """Images of each class, int64 (K,)."""
        return torch.tensor([len(row) for row in self.rows])

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of what is in the images and which class each is of."""
        found = hashlib.sha256(json.dumps([self.names, [row.tolist() for row in self.rows]]).encode())
        found.update(self.images.cpu().contiguous().numpy().data)
        return found.hexdigest()

    def take(self, keep: Sequence[int]) -> ImageClasses:
        """Only these classes; the images are shared."""
        rows = tuple(self.rows[k] for k in keep)
        return ImageClasses(self.images, rows, self.groups[list(keep)], tuple(self.names[k] for k in keep))

    def to(self, device: torch.device) -> ImageClasses:
        return replace(self, images=self.images.to(device))


@dataclass(frozen=True)
class ImageDomain:
    """Classes that are distinguished from one another, and how their images are varied."""

    name: str
    classes: ImageClasses
    augment: str = "none"


def read_corpus(
    corpus: Corpus, preprocess: Preprocess, device: torch.device, threads: int = 1
) -> tuple[tuple[ImageDomain, ...], tuple[ImageDomain, ...]]:
    """The domains to train on and those to validate on, on the device.

    Raises LearndError if a root cannot be read, holds no classes, or has not those that the split names.
    """
    if corpus.side:
        preprocess = replace(preprocess, size=corpus.side)
    split = read_split(Path(corpus.split)) if corpus.split else None
    if corpus.validation and split is not None and split["validation"]:
        remedy = "leave one of the two out"
        raise SettingsError("names classes that validate, as --validation does", where=corpus.split, remedy=remedy)
    held_back = 0.0 if corpus.validation else corpus.held_back
    wanted = None if split is None else {name for names in split.values() for name in names}
    training: list[ImageDomain] = []
    validation: list[ImageDomain] = []
    missing = set(wanted or ())
    for spec in corpus.domains:
        roots = [Path(root).expanduser() for root in spec.roots]
        classes = read_classes(roots, preprocess, threads, wanted, corpus.per_class).to(device)
        missing -= set(classes.names)
        train, valid = _divide(classes, split, held_back)
        name = _name(roots)
        training += [ImageDomain(name, with_turns(train, spec.turns), spec.augment)] if len(train) else []
        validation += [ImageDomain(name, valid)] if len(valid) > 1 else []
    if missing:
        what = f"{len(missing)} of its {len(wanted or ())} classes are not in the data, for one {min(missing)!r}"
        raise LearndError(what, where=corpus.split, remedy="name every root that holds them: --data A.zip:B.zip")
    for names in corpus.validation:
        roots = [Path(root).expanduser() for root in names]
        classes = read_classes(roots, preprocess, threads, per_class=corpus.per_class).to(device)
        validation.append(ImageDomain(_name(roots), classes))
    return tuple(training), tuple(validation)


def _name(roots: Sequence[Path]) -> str:
    return "+".join(root.stem for root in roots)


def read_classes(
    roots: Sequence[Path],
    preprocess: Preprocess,
    threads: int = 1,
    wanted: Collection[str] | None = None,
    per_class: int = 0,
) -> ImageClasses:
    """Read every <group>/<class>/<image> or <class>/<image> below the roots (folders or .zip files), sorted.

    wanted: only classes of these names.  per_class: at most so many images of each, the first by name; 0: all.
    Raises LearndError; ImageError if an image cannot be decoded.
    """
    names: list[tuple[str, str]] = []  # (group, class) of every image
    batches: list[Tensor] = []
    for root in roots:
        pending: list[tuple[str, bytes]] = []
        for path, content in _files(root, wanted, per_class):
            names.append(_place(path))
            pending.append((f"{root}: {path}", content()))
            if len(pending) == READ:
                batches.append(_decode(pending, preprocess, threads))
                pending = []
        batches.append(_decode(pending, preprocess, threads))
    if not names:
        what = "holds no image of a class" + (" that the split names" if wanted is not None else "")
        remedy = "point at a folder or a .zip of <class>/<image> or <group>/<class>/<image>"
        raise LearndError(what, where=":".join(map(str, roots)), remedy=remedy)
    return _classes(torch.cat(batches), names)


def _classes(images: Tensor, names: Sequence[tuple[str, str]]) -> ImageClasses:
    rows: dict[tuple[str, str], list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    ordered = sorted(rows)
    number = {group: at for at, group in enumerate(sorted({group for group, _ in ordered}))}
    return ImageClasses(
        images,
        tuple(torch.tensor(rows[name]) for name in ordered),
        torch.tensor([number[group] for group, _ in ordered]),
        tuple(_joined(*name) for name in ordered),
    )


def with_turns(classes: ImageClasses, turns: int) -> ImageClasses:
    """Every class as it is, and turned by a quarter (turns = 4) or by half (2), as more classes of the same group."""
    if turns == 1:
        return classes
    quarters = range(0, 4, 4 // turns)
    size = len(classes.images)
    images = torch.cat([torch.rot90(classes.images, k, (2, 3)) for k in quarters])
    rows = tuple(row + at * size for at in range(turns) for row in classes.rows)
    names = tuple(f"{name}@{90 * k}" if k else name for k in quarters for name in classes.names)
    return ImageClasses(images, rows, classes.groups.repeat(turns), names)


def hold_back(classes: ImageClasses, share: float) -> tuple[ImageClasses, ImageClasses]:
    """The classes to train on, and those that validate: the last groups by name, or the last classes of one group.

    None validates where too few would be left to train on.
    """
    groups = classes.groups.unique()
    if share <= 0:
        return classes, classes.take([])
    if len(groups) > 1:
        last = groups[-max(1, round(len(groups) * share)) :]
        held = torch.isin(classes.groups, last)
    else:
        held = torch.arange(len(classes)) >= len(classes) - max(2, round(len(classes) * share))
    if int((~held).sum()) < 2:
        return classes, classes.take([])
    return classes.take((~held).nonzero()[:, 0].tolist()), classes.take(held.nonzero()[:, 0].tolist())


def _divide(
    classes: ImageClasses, split: dict[str, list[str]] | None, share: float
) -> tuple[ImageClasses, ImageClasses]:
    if split is None:
        return hold_back(classes, share)
    train, validation = set(split["train"]), set(split["validation"])
    here = list(enumerate(classes.names))
    kept = classes.take([k for k, name in here if name in train])
    if not validation:
        return hold_back(kept, share)
    return kept, classes.take([k for k, name in here if name in validation])


def read_split(path: Path) -> dict[str, list[str]]:
    """The names to train and to validate on; those to test on are never even read.  Raises LearndError."""
    remedy = 'write {"train": ["<group>/<class>", ...], "validation": [...]}'
    try:
        content = json.loads(path.read_text())
        parts = {part: list(content.get(part, [])) for part in ("train", "validation")}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise LearndError(f"is no list of classes ({error})", where=str(path), remedy=remedy) from error
    if not parts["train"]:
        raise LearndError('names no class under "train"', where=str(path), remedy=remedy)
    return parts


def _files(
    root: Path, wanted: Collection[str] | None, per_class: int
) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    """Every image below a root in order of path, and a way to its bytes."""
    counts: dict[tuple[str, str], int] = {}
    for path, content in _all_files(root):
        hidden = any(part.startswith((".", "__")) for part in path.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or len(path.parts) < 2:
            continue
        place = _place(path)
        if wanted is not None and _joined(*place) not in wanted:
            continue
        counts[place] = counts.get(place, 0) + 1
        if not per_class or counts[place] <= per_class:
            yield path, content


def _all_files(root: Path) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    if root.is_dir():
        for file in sorted(root.rglob("*")):
            if file.is_file():
                yield PurePosixPath(file.relative_to(root).as_posix()), file.read_bytes
        return
    try:
        with zipfile.ZipFile(root) as archive:
            for name in sorted(archive.namelist()):
                yield PurePosixPath(name), partial(archive.read, name)
    except (OSError, zipfile.BadZipFile) as error:
        what = f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        raise LearndError(what, where=str(root), remedy="point at a folder or a .zip of images") from error


def _place(path: PurePosixPath) -> tuple[str, str]:
    """The group ("" if there is none) and the class of an image."""
    return (path.parts[-3] if len(path.parts) > 2 else "", path.parts[-2])


def _joined(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _decode(files: Sequence[tuple[str, bytes]], preprocess: Preprocess, threads: int) -> Tensor:
    images, errors = load_batch(files, preprocess, threads)
    if errors:
        raise errors[0]
    return images
