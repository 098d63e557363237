"""Which folder a task is.  Names that differ in their Unicode form alone are one name: one of them is the task."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from learnd.control.journal.journal import Journal
from learnd.identity import label, nfc, task_id


class Owners:
    """Remembers the folder of every task id.  notice(level, text) says once of any other that it is ignored."""

    def __init__(self, root: Path, journal: Journal, notice: Callable[[str, str], None]) -> None:
        self._root = root
        self._journal = journal
        self._notice = notice
        self._owners: dict[str, str] = {}  # task id -> folder name
        self._ignored: set[str] = set()  # folder names

    def survey(self, names: Iterable[str]) -> tuple[str, ...]:
        """The folders that are tasks, of all that are there; what is remembered of others is dropped."""
        claims: dict[str, list[str]] = defaultdict(list)
        for name in names:
            claims[task_id(name)].append(name)
        self._owners = {identity: self._choose(identity, rivals) for identity, rivals in claims.items()}
        owners = tuple(self._owners.values())
        ignored = {name for rivals in claims.values() for name in rivals} - set(owners)
        self._ignored &= ignored
        for name in sorted(ignored):
            self._ignore(name, self._owners[task_id(name)])
        return owners

    def owns(self, name: str) -> bool:
        """Whether this folder is the task of its name: it is, unless another that is still there was it before."""
        identity = task_id(name)
        owner = self._owners.get(identity, name)
        if owner != name and os.path.isdir(self._root / owner):
            if os.path.isdir(self._root / name):
                self._ignore(name, owner)
            return False
        self._owners[identity] = name
        return True

    def folder(self, identity: str) -> str | None:
        """The name of the folder that is this task, where one has been seen."""
        return self._owners.get(identity)

    def _choose(self, identity: str, rivals: list[str]) -> str:
        """Who it was before, in this daemon or an earlier one; else the composed spelling, else the first."""
        if len(rivals) == 1:
            return rivals[0]
        known = (self._owners.get(identity), self._journal.jobs.folder(identity), nfc(rivals[0]))
        return next((name for name in known if name in rivals), min(rivals))

    def _ignore(self, name: str, owner: str) -> None:
        if name not in self._ignored:
            self._ignored.add(name)
            both = f"two folders are both called {label(name)}"
            self._notice("warning", f"{both}: {owner!a} is the task, {name!a} is ignored; rename it")
