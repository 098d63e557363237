"""Plugins that took a worker with them: counted, and kept away from the next worker.

One at the import, or at an event, is enough: it would do it again.  At work it may have been a task too large for the
machine, or a person with `kill -9`: there it takes three with no task learnt between them.  A strike stands until the
plugin's file is another one, or a daemon starts again.  The counts stay in the journal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from learnd.control.journal.journal import Journal
from learnd.identity import sha256_of
from learnd.messages.convert import from_json, to_json_all
from learnd.messages.plugins import EventKind, PluginInfo, PluginState

AT_IMPORT = "import"
AT_EVENT = "event"
AT_WORK = "work"
STRIKES_TO_BAR = {AT_IMPORT: 1, AT_EVENT: 1, AT_WORK: 3}  # strikes that must stand to keep it away


@dataclass(frozen=True)
class Strike:
    """All strikes of one plugin.  content: the sha256 of its file at the last one, "" where it is no file.

    reason: of the last one; at: Unix seconds.  standing: so many of them count against it, while its content is the
    same.  role: what it did it as, AT_IMPORT, AT_EVENT (and then it may still bring algorithms) or AT_WORK (and then
    name is the algorithm's).
    """

    name: str
    source: str  # as in PluginInfo
    content: str
    reason: str
    at: float
    count: int = 1
    standing: int = 1
    role: str = AT_IMPORT

    @property
    def enough(self) -> bool:
        return self.standing >= STRIKES_TO_BAR[self.role]


class Strikes:
    """The journal's record of them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def all(self) -> list[Strike]:
        items = json.loads(self._journal.db.get("plugin_strikes") or "[]")
        # `standing` was once true or false: such a strike counts as one.
        return [from_json(Strike, {**item, "standing": int(item["standing"])}) for item in items]

    def add(self, name: str, source: str, reason: str, role: str = AT_IMPORT) -> None:
        """One more strike against a plugin, and an event that says so."""
        known = {(strike.name, strike.source, strike.role): strike for strike in self.all()}
        before = known.get((name, source, role))
        content = _content_of(source)
        count = standing = 1
        if before is not None:
            count += before.count
            standing += before.standing if before.content == content else 0
        known[name, source, role] = Strike(name, source, content, reason, time.time(), count, standing, role)
        with self._journal.db.transaction():
            self._journal.db.put("plugin_strikes", json.dumps(to_json_all(known.values())))
            self._journal.db.note(EventKind.STRIKE, f"plugin {name} ({source}): {reason}")

    def pardon(self) -> None:
        """A new daemon tries every plugin again."""
        self._forgive(lambda strike: True)

    def forgive(self, names: Collection[str]) -> None:
        """These algorithms have done their work: what lies behind them was no habit.  Those kept away stay so."""
        self._forgive(lambda strike: strike.role == AT_WORK and strike.name in names and not strike.enough)

    def _forgive(self, whom: Callable[[Strike], bool]) -> None:
        strikes = self.all()
        after = [replace(strike, standing=0) if whom(strike) else strike for strike in strikes]
        if after != strikes:
            self._journal.put("plugin_strikes", json.dumps(to_json_all(after)))

    def barred(self, *roles: str) -> tuple[PluginInfo, ...]:
        """The plugins that the next process must do without, as it is to report them: those struck in these roles."""
        return tuple(
            PluginInfo(strike.name, strike.source, PluginState.QUARANTINED, strike.reason)
            for strike in self.all()
            if strike.role in roles and strike.enough and strike.content == _content_of(strike.source)
        )


def _content_of(source: str) -> str:
    path = Path(source)  # "built-in" and "entry point" are no files
    try:
        return sha256_of(path) if path.is_absolute() else ""
    except OSError:
        return "unreadable"
