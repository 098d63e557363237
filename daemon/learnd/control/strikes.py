"""Plugins that took a worker with them: counted, and kept away from the next worker.

A strike stands until the plugin's file is another one, or a daemon starts anew.  The counts stay in the journal.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from learnd.control.journal import Journal
from learnd.domain import PluginInfo
from learnd.identity import sha256_of
from learnd.wire import from_json, to_json

AT_IMPORT = "import"
AT_EVENT = "event"


@dataclass(frozen=True)
class Strike:
    """All strikes of one plugin.  content: the sha256 of its file at the last one, "" where it is no file.

    reason: of the last one; at: Unix seconds.  standing: it is kept away while its content is the same.
    role: what it did it as, AT_IMPORT or AT_EVENT (and then it may still bring algorithms).
    """

    name: str
    source: str  # as in PluginInfo
    content: str
    reason: str
    at: float
    count: int = 1
    standing: bool = True
    role: str = AT_IMPORT


class Strikes:
    """The journal's record of them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def all(self) -> list[Strike]:
        return [from_json(Strike, item) for item in json.loads(self._journal.db.get("plugin_strikes") or "[]")]

    def add(self, name: str, source: str, reason: str, role: str = AT_IMPORT) -> None:
        """One more strike against a plugin, and an event that says so."""
        known = {(strike.name, strike.source, strike.role): strike for strike in self.all()}
        before = known.get((name, source, role))
        count = 1 + (before.count if before else 0)
        content = _content_of(source)
        known[name, source, role] = Strike(name, source, content, reason, time.time(), count, role=role)
        with self._journal.db.transaction():
            self._journal.db.put("plugin_strikes", json.dumps([to_json(strike) for strike in known.values()]))
            self._journal.db.note("strike", f"plugin {name} ({source}): {reason}")

    def pardon(self) -> None:
        """A new daemon tries every plugin again."""
        if any(strike.standing for strike in self.all()):
            pardoned = [replace(strike, standing=False) for strike in self.all()]
            self._journal.put("plugin_strikes", json.dumps([to_json(strike) for strike in pardoned]))

    def barred(self, *roles: str) -> tuple[PluginInfo, ...]:
        """The plugins that the next process must not import, as it is to report them: those struck in these roles."""
        return tuple(
            PluginInfo(strike.name, strike.source, "quarantined", strike.reason)
            for strike in self.all()
            if strike.role in roles and strike.standing and strike.content == _content_of(strike.source)
        )


def _content_of(source: str) -> str:
    path = Path(source)  # "built-in" and "entry point" are no files
    try:
        return sha256_of(path) if path.is_absolute() else ""
    except OSError:
        return "unreadable"
