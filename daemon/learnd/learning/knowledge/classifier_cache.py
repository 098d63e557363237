"""Remembers the head over what was last asked about, and what it was made of.

When a task has come or gone since, only that one's statistics are read; the rest of the work is that of fitting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from learnd.errors import StateError
from learnd.learning.knowledge import class_statistics
from learnd.learning.knowledge.classifier_file import load_head
from learnd.learning.knowledge.grouped_classifier import GroupedHead, Ledgers, head_of, noted, struck
from learnd.learning.networks.backbone import Backbone
from learnd.messages.jobs import HeadFile, Member
from learnd.messages.state_files import STATISTICS_FILE

BATCH = 64  # members whose statistics are held at a time


def statistics_of(member: Member, backbone: Backbone) -> class_statistics.Statistics:
    """What is remembered of a member.  Raises StateError if the file is not what was committed."""
    return class_statistics.load(Path(member.folder) / STATISTICS_FILE, backbone.hash, member.statistics)


class HeadKeeper:
    """Of one process.  It never answers otherwise than one that remembers nothing."""

    def __init__(self) -> None:
        self._backbone = ""
        self._noted: dict[tuple[str, int, str], Member] = {}  # whose statistics are in the ledgers
        self._ledgers: Ledgers = {}
        self._last: tuple[tuple[Member, ...], GroupedHead] | None = None

    def head_of(
        self,
        members: tuple[Member, ...],
        backbone: Backbone,
        file: HeadFile | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> GroupedHead:
        """The head over all classes of the members.

        file: where it may be found ready made.  check is called before every file that is read; what it raises is
        raised, and nothing is forgotten by that.  Raises StateError if statistics are damaged.
        """
        if backbone.hash != self._backbone:
            self._backbone, self._noted, self._ledgers, self._last = backbone.hash, {}, {}, None
        if self._last is not None and self._last[0] == members:
            return self._last[1]
        found = load_head(file, members, backbone.hash) if file is not None else None
        if found is None:
            check()
            self._follow({(one.id, one.revision, one.statistics): one for one in members}, backbone, check)
            check()
            found = head_of(members, self._ledgers)
        self._last = members, found
        return found

    def _follow(
        self, wanted: dict[tuple[str, int, str], Member], backbone: Backbone, check: Callable[[], None]
    ) -> None:
        """Bring the ledgers to what is wanted."""
        gone = [one for key, one in self._noted.items() if key not in wanted]
        ledgers = self._without(gone, backbone, check) if 2 * len(gone) <= len(self._noted) else None
        if ledgers is None:
            ledgers, kept = {}, set[tuple[str, int, str]]()
        else:
            kept = self._noted.keys() & wanted.keys()
        new = [one for key, one in wanted.items() if key not in kept]
        for start in range(0, len(new), BATCH):
            ledgers = noted(ledgers, _read(new[start : start + BATCH], backbone, check))
        self._noted, self._ledgers = wanted, ledgers

    def _without(self, gone: Sequence[Member], backbone: Backbone, check: Callable[[], None]) -> Ledgers | None:
        """The ledgers without these members; None if they must be built again, as when a task was forgotten."""
        if not gone:
            return self._ledgers
        try:
            return struck(self._ledgers, _read(gone, backbone, check))
        except StateError:
            return None


def _read(
    members: Iterable[Member], backbone: Backbone, check: Callable[[], None]
) -> list[tuple[Member, class_statistics.Statistics]]:
    found = []
    for member in members:
        check()
        found.append((member, statistics_of(member, backbone)))
    return found
