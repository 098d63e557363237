"""Plugins that took a worker with them: counted, and kept away from the next worker.

A strike stands until the plugin's file is another one, or a daemon starts anew.  The counts stay in the journal.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from learnd.control.durable import sha256_of
from learnd.control.journal import Journal
from learnd.domain import PluginInfo
from learnd.wire import from_json, to_json


@dataclass(frozen=True)
class Strike:
    """All strikes of one plugin.  content: the sha256 of its file at the last one, "" where it is no file.

    reason: of the last one; at: Unix seconds.  standing: it is kept away while its content is the same.
    """

    name: str
    source: str  # as in PluginInfo
    content: str
    reason: str
    at: float
    count: int = 1
    standing: bool = True


class Strikes:
    """The journal's record of them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def all(self) -> list[Strike]:
        return [from_json(Strike, item) for item in json.loads(self._journal.db.get("plugin_strikes") or "[]")]

    def add(self, name: str, source: str, reason: str) -> None:
        """One more strike against a plugin, and an event that says so."""
        known = {(strike.name, strike.source): strike for strike in self.all()}
        before = known.get((name, source))
        count = 1 + (before.count if before else 0)
        known[name, source] = Strike(name, source, _content_of(source), reason, time.time(), count)
        with self._journal.db.transaction():
            self._journal.db.put("plugin_strikes", json.dumps([to_json(strike) for strike in known.values()]))
            self._journal.db.note("strike", f"plugin {name} ({source}): {reason}")

    def pardon(self) -> None:
        """A new daemon tries every plugin again."""
        if any(strike.standing for strike in self.all()):
            pardoned = [replace(strike, standing=False) for strike in self.all()]
            self._journal.put("plugin_strikes", json.dumps([to_json(strike) for strike in pardoned]))

    def barred(self) -> tuple[PluginInfo, ...]:
        """The plugins that the next worker must not import, as it is to report them."""
        return tuple(
            PluginInfo(strike.name, strike.source, "quarantined", strike.reason)
            for strike in self.all()
            if strike.standing and strike.content == _content_of(strike.source)
        )


def _content_of(source: str) -> str:
    path = Path(source)  # "built-in" and "entry point" are no files
    try:
        return sha256_of(path) if path.is_absolute() else ""
    except OSError:
        return "unreadable"
