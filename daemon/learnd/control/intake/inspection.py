"""Is this task folder fit to be learnt, and what exactly is in it?  Everything wrong with it is said at once.

Reads and decodes every file, so it runs in the inspector's process (and in `learnd check`), not in the
daemon.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnd.control.intake.folder_layout import Layout, arrange, unfit_name
from learnd.control.intake.folder_scan import OPTIONS, Kind, Scan, is_ignored, is_image, scan
from learnd.control.intake.image_check import examine, examine_other, read_file
from learnd.errors import SettingsError
from learnd.identity import digest_of_leaves, leaf_of, printable
from learnd.messages.joins import problems_of
from learnd.messages.task import ImageFile, Problem, Severity, TaskOptions

if TYPE_CHECKING:
    from learnd.settings.keys import IntakeSettings

InspectionProgress = Callable[[int, int, str], None]  # images done, images in all, the one that comes next

_MOST_OF_A_KIND = 100  # problems with one code that are listed one by one; the rest are counted


@dataclass(frozen=True)
class Inspection:
    """What a task folder holds.

    digest is the identity of what was read (see learnd.identity); fingerprint is that of the scan made before
    reading.  changed: the folder was another one after reading than before, so nothing here may be relied on.
    """

    files: tuple[ImageFile, ...]  # sorted by path
    problems: tuple[Problem, ...]  # errors first
    digest: str
    fingerprint: str
    options: TaskOptions
    bytes: int
    changed: bool

    @property
    def accepted(self) -> bool:
        """Nothing in it stands against learning; warnings do not."""
        return all(problem.severity is not Severity.ERROR for problem in self.problems)


@dataclass(frozen=True)
class _Contents:
    """What reading the files brought: the leaf of each that could be read, and what is wrong with them."""

    leaves: dict[str, bytes]
    problems: tuple[Problem, ...]
    bytes: int


def inspect(
    folder: Path, limits: IntakeSettings, progress: InspectionProgress | None = None, readers: tuple[str, ...] = ()
) -> Inspection:
    """Read and check a whole task folder.  Whatever is wrong with it is a problem, and nothing is raised.

    readers: the extensions that plugins read.  What is in such a file only its reader can tell, in a worker.
    """
    before = scan(folder)
    if before is None:
        gone = Problem("no-such-folder", printable(str(folder)), "there is no such folder", "check the path")
        return Inspection((), (gone,), "", "", TaskOptions(), 0, changed=False)
    layout = arrange(before.entries, limits.min_images_per_class, readers)
    contents = _read(folder, layout, before, limits, progress)
    options, about_options, leaves = _options(folder, before)
    problems = [
        *_own_name(folder.name),
        *layout.problems,
        *about_options,
        *problems_of(options, folder.name, {file.class_name for file in layout.files}, OPTIONS),
        *contents.problems,
        *_conflicts(layout.files, contents.leaves),
    ]
    after = scan(folder)
    return Inspection(
        files=layout.files,
        problems=_summary(problems),
        digest=digest_of_leaves((contents.leaves | leaves).items()),
        fingerprint=before.fingerprint,
        options=options,
        bytes=contents.bytes,
        changed=after is None or after.fingerprint != before.fingerprint,
    )


def _own_name(name: str) -> Iterator[Problem]:
    """What is wrong with the name of the task folder itself."""
    if is_ignored(name):
        what = "the task folder: such a name (.*, *.tmp, *.part and the like) is ignored by the daemon"
        yield Problem("ignored-name", ".", what, "rename it when it is complete")
    if unfit := unfit_name(name):
        yield Problem(unfit.code, ".", f"the task folder: {unfit.what}", unfit.remedy)


def _read(
    folder: Path, layout: Layout, seen: Scan, limits: IntakeSettings, progress: InspectionProgress | None
) -> _Contents:
    if len(layout.files) > limits.max_images:
        what = f"holds {len(layout.files):,} images; the limit is {limits.max_images:,}"
        remedy = "split the task, or raise intake.max_images in config.yaml"
        return _Contents({}, (Problem("too-many-images", ".", what, remedy),), 0)
    sizes = {entry.path: entry.size for entry in seen.entries}
    leaves: dict[str, bytes] = {}
    problems: list[Problem] = []
    total = 0
    for done, file in enumerate(layout.files):
        if progress:
            progress(done, len(layout.files), file.path)
        data, problem = _load(folder, file.path, sizes[file.path], limits.max_file_bytes)
        if data is not None:
            leaves[file.path] = leaf_of(data)
            total += len(data)
            own = is_image(file.path)
            problem = examine(data, file.path, limits.max_pixels) if own else examine_other(data, file.path)
        if problem:
            problems.append(problem)
    return _Contents(leaves, tuple(problems), total)


def _load(folder: Path, path: str, size: int, most: int) -> tuple[bytes | None, Problem | None]:
    """The bytes of one file, or why there are none."""
    try:
        data = read_file(os.path.join(folder, path), most) if size <= most else None
    except FileNotFoundError:
        return None, Problem("vanished", path, "disappeared while the folder was read", "wait until it is complete")
    except OSError as error:
        remedy = "give the daemon's user the right to read it (chmod -R u+rX)"
        return None, Problem("unreadable", path, f"cannot be read ({error.strerror or error})", remedy)
    if data is None or len(data) > most:
        what = f"has {max(size, len(data or b'')):,} bytes; the limit is {most:,}"
        return None, Problem("file-too-big", path, what, "shrink it, or raise intake.max_file_bytes in config.yaml")
    return data, None


def _options(folder: Path, seen: Scan) -> tuple[TaskOptions, list[Problem], dict[str, bytes]]:
    """What the task.yaml says, what is wrong with it, and its leaf; defaults if there is none."""
    from learnd.settings.loading import read_task_options

    if not any(entry.path == OPTIONS and entry.kind is Kind.FILE for entry in seen.entries):
        return TaskOptions(), [], {}
    data, problem = _load(folder, OPTIONS, 0, most=100_000)
    if data is None:
        return TaskOptions(), [problem] if problem else [], {}
    leaves = {OPTIONS: leaf_of(data)}
    try:
        return read_task_options(data.decode(), OPTIONS), [], leaves
    except UnicodeDecodeError:
        what, remedy = "is not UTF-8 text", "save it as UTF-8"
    except SettingsError as error:
        see = "see the section on task.yaml in the README"
        mistakes = [Problem("bad-options", one.where or OPTIONS, one.what, one.remedy or see) for one in error.each]
        return TaskOptions(), mistakes, leaves
    return TaskOptions(), [Problem("bad-options", OPTIONS, what, remedy)], leaves


def _conflicts(files: Sequence[ImageFile], leaves: dict[str, bytes]) -> Iterator[Problem]:
    """Warnings: one and the same image in two classes, or both learnt and held out."""
    same: dict[bytes, list[ImageFile]] = defaultdict(list)
    for file in files:
        if file.path in leaves:
            same[leaves[file.path]].append(file)
    for group in same.values():
        first, others = group[0], ", ".join(file.path for file in group[1:])
        if len({file.class_name for file in group}) > 1:
            what = f"is the same image as {others}, in another class"
            yield Problem("label-conflict", first.path, what, "keep it in the right class only", Severity.WARNING)
        elif len({file.split for file in group}) > 1:
            what = f"is the same image as {others}: it is both learnt and held out"
            yield Problem("held-out-seen", first.path, what, "keep it in one part only", Severity.WARNING)


def _summary(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Errors first; of a kind that comes in masses the first hundred, and how many more there are."""
    listed: list[Problem] = []
    counts: Counter[str] = Counter()
    for problem in sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR):
        counts[problem.code] += 1
        if counts[problem.code] <= _MOST_OF_A_KIND:
            listed.append(problem)
    for code, count in counts.items():
        if count > _MOST_OF_A_KIND:
            last = next(problem for problem in reversed(listed) if problem.code == code)
            more = f"{count - _MOST_OF_A_KIND:,} more like this one ({last.where})"
            listed.append(Problem(code, ".", more, last.remedy, last.severity))
    return tuple(listed)
