"""Which files of a task folder are images of which class, and what is wrong with the way they lie.

Pure: works on the entries of a scan, and opens nothing.  Two layouts are understood:

    <task>/<class>/*.png        and        <task>/{support,query}/<class>/*.png   (or train and test)
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from learnd.control.intake.folder_scan import OPTIONS, FileEntry, Kind, is_image
from learnd.identity import nfc, printable
from learnd.messages.task import ImageFile, ImageSplit, Problem, Severity

NOT_AN_IMAGE = "not-an-image"  # the code of a problem that a plugin's reader may do away with

_SPLITS = {
    "support": ImageSplit.SUPPORT,
    "train": ImageSplit.SUPPORT,
    "query": ImageSplit.QUERY,
    "test": ImageSplit.QUERY,
}

_ODDITIES = {  # what entries are that are neither files nor folders: (what, remedy)
    Kind.LINK_OUTSIDE: ("is a link that leaves the task folder", "copy the file itself into the folder"),
    Kind.LINK_BROKEN: ("is a link to nothing", "remove the link, or put the file in its place"),
    Kind.LINK_LOOP: ("is a link that goes round in circles", "remove the link"),
    Kind.LINK_FOLDER: (
        "is a link to another folder of this task",
        "copy the folder itself, or remove the link",
    ),
    Kind.SPECIAL: ("is no regular file (a pipe, a socket or a device)", "remove it"),
    Kind.UNREADABLE: ("may not be read", "give the daemon's user the right to read it (chmod -R u+rX)"),
}


@dataclass(frozen=True)
class Layout:
    """The images of a task, sorted by path, and every problem of their arrangement."""

    files: tuple[ImageFile, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Section:
    """A part of the task that holds classes: its prefix ("" or "train/") and its split."""

    prefix: str
    split: ImageSplit


def arrange(entries: Sequence[FileEntry], min_images_per_class: int, readers: tuple[str, ...] = ()) -> Layout:
    """The classes and images among the entries of one scan of a task folder.

    readers: the extensions that plugins read; such files count as images.
    """
    sections = _sections(entries, readers)
    files: list[ImageFile] = []
    problems = list(_odd_entries(entries)) + list(_strays(entries, sections, readers))
    members: dict[ImageSplit, dict[str, int]] = {
        ImageSplit.SUPPORT: {},
        ImageSplit.QUERY: {},
    }  # split -> class's folder -> images
    for section in sections:
        inside = [entry for entry in entries if entry.path.startswith(section.prefix)]
        counts = members[section.split]
        counts.update({_parts(e, section)[0]: 0 for e in inside if e.kind is Kind.FOLDER})
        for entry in inside:
            parts = _parts(entry, section)
            if entry.kind is Kind.FOLDER:
                problems.extend(_nested(entry, parts))
            elif entry.kind is Kind.FILE and len(parts) == 1:
                problems.extend(_loose(entry, section, readers))
            elif entry.kind is Kind.FILE and len(parts) == 2 and is_image(entry.path, readers):
                counts[parts[0]] += 1
                if not unfit_name(entry.path):
                    files.append(ImageFile(entry.path, nfc(parts[0]), section.split))
            elif entry.kind is Kind.FILE and len(parts) == 2:
                problems.append(_not_an_image(entry))
        problems.extend(_names(inside, section, readers))
    problems.extend(_classes(members[ImageSplit.SUPPORT], members[ImageSplit.QUERY], sections, min_images_per_class))
    return Layout(tuple(files), tuple(problems))


def unfit_name(name: str) -> Problem | None:
    """The problem of a name that cannot be stored or shown, if it has one."""
    if name.isprintable():  # nearly always
        return None
    remedy = "rename it to plain printable characters"
    if any("\udc80" <= c <= "\udcff" for c in name):
        return Problem("bad-name", printable(name), "its name is not valid UTF-8", remedy)
    if any(unicodedata.category(c) == "Cc" for c in name):
        return Problem("control-character", printable(name), "its name holds a control character", remedy)
    return None


def _sections(entries: Sequence[FileEntry], readers: tuple[str, ...]) -> list[_Section]:
    """The parts that hold classes.  "train" is one if it holds folders and no image: else it is a class."""
    tops = [entry.path for entry in entries if entry.kind is Kind.FOLDER and "/" not in entry.path]
    second = [(entry, entry.path.split("/")[0]) for entry in entries if entry.path.count("/") == 1]
    holds_folders = {top for entry, top in second if entry.kind is Kind.FOLDER}
    holds_images = {top for entry, top in second if is_image(entry.path, readers)}
    parts = [top for top in tops if top.lower() in _SPLITS and top in holds_folders and top not in holds_images]
    sections: dict[str, _Section] = {}
    for top in parts:
        split = _SPLITS[top.lower()]
        sections.setdefault(split, _Section(f"{top}/", split))
    if "support" in sections or (sections and len(sections) == len(tops)):
        return list(sections.values())
    return [_Section("", ImageSplit.SUPPORT)]


def _parts(entry: FileEntry, section: _Section) -> list[str]:
    return entry.path[len(section.prefix) :].split("/")


def _odd_entries(entries: Iterable[FileEntry]) -> Iterator[Problem]:
    for entry in entries:
        if entry.kind in _ODDITIES:
            what, remedy = _ODDITIES[entry.kind]
            yield Problem(str(entry.kind), printable(entry.path), what, remedy)


def _strays(entries: Iterable[FileEntry], sections: Sequence[_Section], readers: tuple[str, ...]) -> Iterator[Problem]:
    """In the split layout, what lies beside the parts."""
    prefixes = tuple(section.prefix for section in sections)
    if prefixes == ("",):
        return
    names = " and ".join(prefixes)
    for entry in entries:
        if "/" in entry.path or f"{entry.path}/" in prefixes:
            continue
        if entry.kind is Kind.FOLDER:
            remedy = f"move its images into {names}, or take it out of the task"
            yield Problem("stray-folder", printable(entry.path), f"lies beside {names}, so it is no class", remedy)
        elif entry.kind is Kind.FILE:
            yield from _loose(entry, _Section("", ImageSplit.SUPPORT), readers)


def _nested(entry: FileEntry, parts: Sequence[str]) -> Iterator[Problem]:
    if len(parts) == 2:
        what = f"is a folder inside the class {printable(parts[0])!r}: its images are not looked at"
        yield Problem("nested-folder", printable(entry.path), what, "put images directly into the class folder")


def _loose(entry: FileEntry, section: _Section, readers: tuple[str, ...]) -> Iterator[Problem]:
    if is_image(entry.path, readers):
        place = section.prefix or "the task folder"
        what = f"is an image directly in {place}, so it has no class"
        yield Problem("image-in-root", printable(entry.path), what, "move it into the folder of its class")
    elif entry.path.lower() in ("task.yml", "task.json", "task.toml") or (
        entry.path.lower() == OPTIONS and entry.path != OPTIONS
    ):
        what = f"is not read: a task's options are in {OPTIONS}"
        yield Problem("not-the-options", printable(entry.path), what, f"rename it to {OPTIONS}", Severity.WARNING)


def _not_an_image(entry: FileEntry) -> Problem:
    what = "is no png, jpg, jpeg, webp, bmp, tif or tiff, so it is ignored"
    return Problem(NOT_AN_IMAGE, printable(entry.path), what, "convert it, or leave it out", Severity.WARNING)


def _names(inside: Iterable[FileEntry], section: _Section, readers: tuple[str, ...]) -> Iterator[Problem]:
    """Names that cannot be stored, and names that are one name on another computer."""
    alike: dict[str, list[str]] = defaultdict(list)
    for entry in inside:
        parts = _parts(entry, section)
        is_class = entry.kind is Kind.FOLDER and len(parts) == 1
        if not is_class and not (entry.kind is Kind.FILE and len(parts) == 2 and is_image(entry.path, readers)):
            continue
        problem = unfit_name(parts[-1])
        if problem:
            yield Problem(problem.code, printable(entry.path), problem.what, problem.remedy)
        alike["/".join([*parts[:-1], _folded(parts[-1])])].append(entry.path)
    for paths in alike.values():
        if len(paths) > 1:
            code = "class-clash" if paths[0].count("/") == section.prefix.count("/") else "file-clash"
            names = ", ".join(ascii(path.rsplit("/", 1)[-1]) for path in paths)
            what = f"these names are one name on other computers (case or Unicode form): {names}"
            yield Problem(code, printable(paths[0]), what, "rename all but one of them, or merge them")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _classes(
    support: dict[str, int], query: dict[str, int], sections: Sequence[_Section], least: int
) -> Iterator[Problem]:
    if all(section.split is not ImageSplit.SUPPORT for section in sections):
        remedy = "add a folder support/ (or train/) with one folder a class"
        yield Problem("no-support", ".", "there are only images to measure with, and none to learn from", remedy)
    elif not support:
        yield Problem("no-classes", ".", "there is no class folder in it", "make one folder a class: cats/, dogs/, ...")
    elif len(support) == 1:
        what = f"{printable(next(iter(support)))!r} is the only class: there is nothing to tell it from"
        yield Problem("one-class", ".", what, "add a folder with images of another class")
    prefix = next((section.prefix for section in sections if section.split is ImageSplit.SUPPORT), "")
    for name, images in support.items():
        where = printable(prefix + name)
        if images == 0:
            yield Problem("empty-class", where, "holds no image", "add images, or remove the folder")
        elif images < least:
            what = f"holds {images} image{'' if images == 1 else 's'}; at least {least} are needed"
            yield Problem("too-few-images", where, what, "add images, or remove the folder")
    known = {nfc(name) for name in support}
    for name in query if support else ():
        if nfc(name) not in known:
            what = "is measured with, but there is no such class to learn from"
            where = next(section.prefix for section in sections if section.split is ImageSplit.QUERY) + name
            remedy = f"add {prefix}{printable(name)}/, or remove it"
            yield Problem("unknown-query-class", printable(where), what, remedy)
