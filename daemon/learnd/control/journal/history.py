"""The history of the knowledge: what every version held, and the transactions that move the head.

A version is a generation's number.  Nothing here rewrites one: a rollback and a forgetting are generations, too.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

from learnd.control.journal.class_joins import Joins
from learnd.control.journal.database import Database
from learnd.control.journal.kept_images import Archives
from learnd.control.journal.leaderboard import Leaderboard
from learnd.control.journal.similar_tasks import SimilarTasks
from learnd.control.journal.tasks import Content, TaskBook
from learnd.control.journal.versions import BackboneRecord, Decision, Generation, Held, StaleEpoch, Step, Version
from learnd.errors import TaskError
from learnd.messages.plugins import EventKind
from learnd.messages.task import TaskState


class History:
    """The `generations`, `members` and `forgotten` tables, and what goes with a version."""

    def __init__(self, db: Database, book: TaskBook) -> None:
        self._db = db
        self.archives = Archives(db)
        self.joins = Joins(db)
        self.leaderboard = Leaderboard(db)
        self.relations = SimilarTasks(db)
        self._book = book

    @property
    def head(self) -> int:
        """The version of the knowledge; 0 before anything was learnt."""
        return int(self._db.get("head") or 0)

    @property
    def kept_from(self) -> int:
        """The oldest version that can be returned to; it only grows."""
        return int(self._db.get("kept_from") or 1)

    def backbone_of(self, version: int) -> str | None:
        """The hash of the network that a version has; None before there is one."""
        row = self._db.one("SELECT hash FROM foundations WHERE first <= ? ORDER BY first DESC LIMIT 1", version)
        return self._db.get("backbone_hash") if row is None else str(row["hash"])

    def form_of(self, task_id: str, revision: int) -> int:
        """The revision that the head holds of what was learnt as this one; the same where it holds none."""
        row = self._db.one(
            "SELECT m.revision FROM members m JOIN derived d USING (task_id, revision) "
            "WHERE m.last IS NULL AND m.task_id = ? AND d.source = ?",
            *(task_id, revision),
        )
        return revision if row is None else int(row["revision"])

    def draw_epoch(self) -> int:
        """A number that nobody had before.  Expects to run inside a transaction of the caller."""
        epoch = int(self._db.get("epoch") or 0) + 1
        self._db.put("epoch", str(epoch))
        return epoch

    def held_by(self, version: int) -> dict[str, Held]:
        """What a version holds, by task id."""
        rows = self._db.all(
            f"{_HELD} WHERE m.first <= ?1 AND (m.last IS NULL OR m.last >= ?1) ORDER BY m.task_id", version
        )
        return {row["task_id"]: _held(row) for row in rows}

    def current(self, task_id: str) -> tuple[Held, ...]:
        """The revision of a task that the head holds: one or none."""
        return tuple(map(_held, self._db.all(f"{_HELD} WHERE m.task_id = ? AND m.last IS NULL", task_id)))

    def entered_since(self, version: int) -> list[str]:
        """The folders, below state/tasks, of the revisions that entered the knowledge after a version."""
        rows = self._db.all("SELECT DISTINCT task_id, revision FROM members WHERE first > ?", version)
        return [f"{row['task_id']}/{row['revision']}" for row in rows]

    def without(self, version: int) -> tuple[str, ...]:
        """The tasks that a version held and that were forgotten since."""
        rows = self._db.all("SELECT name FROM forgotten WHERE first <= ?1 AND last >= ?1 ORDER BY name", version)
        return tuple(dict.fromkeys(row["name"] for row in rows))

    def way_to(self, version: int) -> Step:
        """What a rollback from the head to a version changes.  Raises TaskError if that version is not kept."""
        if not self.kept_from <= version <= self.head:
            kept = f"versions {self.kept_from} to {self.head} are" if self.head else "nothing was learnt yet: none is"
            raise TaskError(f"version {version} is not kept: {kept}", remedy="learnd versions lists those that are")
        if self._is_tainted(self.backbone_of(version)):
            what = f"version {version} cannot be returned to: a task that is forgotten had a part in its network"
            raise TaskError(what, remedy="learnd versions lists those that can")
        wanted, now = self.held_by(version), self.held_by(self.head)
        joined, joined_now = self.joins.asked_at(version), self.joins.asked_at(self.head)
        return Step(
            tuple(held for key, held in wanted.items() if now.get(key) != held),
            tuple(held for key, held in now.items() if wanted.get(key) != held),
            made=tuple(sorted(joined - joined_now, key=str)),
            ended=tuple(sorted(joined_now - joined, key=str)),
        )

    def versions(self) -> list[Version]:
        """Every kept generation, the newest first."""
        entering: dict[int, list[Held]] = defaultdict(list)
        leaving: dict[int, list[Held]] = defaultdict(list)
        for row in self._db.all(f"{_HELD} ORDER BY m.name, m.revision"):
            entering[row["first"]].append(_held(row))
            if row["last"] is not None:
                leaving[row["last"] + 1].append(_held(row))
        tasks = classes = size = 0
        found: list[Version] = []
        for row in self._db.all("SELECT number, created, reason FROM generations ORDER BY number"):
            step = Step(tuple(entering[row["number"]]), tuple(leaving[row["number"]]))
            tasks += len(step.entering) - len(step.leaving)
            classes += sum(held.classes for held in step.entering) - sum(held.classes for held in step.leaving)
            size += sum(held.bytes for held in step.entering) - sum(held.bytes for held in step.leaving)
            if row["number"] >= self.kept_from and not self._is_tainted(self.backbone_of(row["number"])):
                without = self.without(row["number"])
                found.append(Version(row["number"], row["created"], row["reason"], step, without, tasks, classes, size))
        return found[::-1]

    # --- what moves the head; each of these but the first is a transaction ------------------------------------------

    def advance(self, generation: Generation, reason: str, step: Step, backbone: str | None = None) -> None:
        """Insert a generation and move the head to it.  Expects to run inside a transaction of the caller.

        backbone: the hash of its network, where that is another one than its parent's.
        Raises StaleEpoch if another commit moved the head meanwhile.
        """
        if self.head != generation.parent:
            raise StaleEpoch(f"the head is no longer {generation.parent}")
        number, parent = generation.number, generation.parent
        self._db.run(
            "INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?)",
            *(number, generation.epoch, parent, time.time(), generation.manifest, reason),
        )
        for held in step.leaving:
            self._db.run("UPDATE members SET last = ? WHERE task_id = ? AND last IS NULL", parent, held.id)
        for held in step.entering:
            self._db.run(
                "INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, NULL)",
                *(held.id, held.revision, held.name, held.classes, held.bytes, number),
            )
        self.joins.mark_changed(number, step.made, step.ended)
        self._db.put("head", str(number))
        if backbone is not None and backbone != self._db.get("backbone_hash"):
            row = self._db.one("SELECT sha256 FROM backbones WHERE hash = ?", backbone)
            assert row is not None  # its file stands in the journal before a head does on it
            self._db.run("INSERT INTO foundations VALUES (?, ?)", number, backbone)
            self._db.put("backbone_hash", backbone)
            self._db.put("backbone_sha256", str(row["sha256"]))

    def consolidate(
        self, generation: Generation, step: Step, network: BackboneRecord, sources: dict[str, int], decision: Decision
    ) -> None:
        """The head holds what a candidate network made of every task; sources: task id -> the revision it came from."""
        name = f"consolidated on backbone {network.hash[:12]}"
        with self._db.transaction():
            self._db.run(
                "INSERT OR IGNORE INTO backbones (hash, sha256, learners) VALUES (?, ?, ?)",
                *(network.hash, network.sha256, json.dumps(sorted(network.learners))),
            )
            self.advance(generation, name, step, network.hash)
            for held in step.entering:
                source = self._source(held.id, sources[held.id])
                self._db.run("INSERT INTO derived VALUES (?, ?, ?)", held.id, held.revision, source)
            self._decide(decision)
            self._db.note(EventKind.CONSOLIDATED, f"version {generation.number}: {name}")

    def note_the_first_network(self) -> None:
        """A journal of an earlier schema knows its one network as a small fact alone."""
        digest, sha256 = self._db.get("backbone_hash"), self._db.get("backbone_sha256")
        if digest is None or self._db.one("SELECT 1 FROM foundations") is not None:
            return
        with self._db.transaction():
            self._db.run("INSERT OR REPLACE INTO backbones (hash, sha256) VALUES (?, ?)", digest, sha256)
            self._db.run("INSERT INTO foundations VALUES (0, ?)", digest)

    def _is_tainted(self, backbone: str | None) -> bool:
        return self._db.one("SELECT 1 FROM backbones WHERE hash = ? AND tainted", backbone) is not None

    def tainted_by(self, task_id: str) -> tuple[str, ...]:
        """The hashes of the networks that a task had a part in, and that are not tainted yet."""
        rows = self._db.all("SELECT hash, learners FROM backbones WHERE NOT tainted ORDER BY hash")
        return tuple(row["hash"] for row in rows if task_id in json.loads(row["learners"]))

    def last_clean(self, task_id: str) -> str:
        """The newest network that a task had no part in; the first of a state, which is always kept, is such."""
        parted = set(self.tainted_by(task_id))
        known = self._db.all(
            "SELECT hash FROM backbones b WHERE NOT tainted "
            "ORDER BY (SELECT MAX(first) FROM foundations f WHERE f.hash = b.hash) DESC"
        )
        return next(str(row["hash"]) for row in known if row["hash"] not in parted)

    def on_network(self, held: Held, network: str) -> Held | None:
        """The same content as another network knows it, where a version holds that."""
        source = self._source(held.id, held.revision)
        rows = self._db.all(f"{_HELD} WHERE m.task_id = ? ORDER BY m.revision DESC", held.id)
        same = [row for row in rows if self._source(held.id, row["revision"]) == source]
        return next((_held(row) for row in same if self.backbone_of(row["first"]) == network), None)

    def refuse(self, decision: Decision, reason: str) -> None:
        """The candidate goes; the decision stays."""
        with self._db.transaction():
            self._decide(decision)
            self._db.note(EventKind.REFUSED, reason)

    def _decide(self, decision: Decision) -> None:
        self._db.run(
            "INSERT INTO decisions (at, parent, version, before, after, verdict) VALUES (?, ?, ?, ?, ?, ?)",
            *(time.time(), decision.parent, decision.version, decision.before, decision.after),
            json.dumps(decision.verdict, sort_keys=True),
        )

    def decisions(self) -> list[Decision]:
        """Every verdict on a candidate network, the newest first."""
        rows = self._db.all("SELECT * FROM decisions ORDER BY id DESC")
        names = ("parent", "version", "before", "after", "at")
        return [Decision(**{n: row[n] for n in names}, verdict=json.loads(row["verdict"])) for row in rows]

    def learners_of(self, backbone: str) -> tuple[str, ...]:
        """The ids of the tasks whose images trained a network."""
        row = self._db.one("SELECT learners FROM backbones WHERE hash = ?", backbone)
        return () if row is None else tuple(json.loads(row["learners"]))

    def _source(self, task_id: str, revision: int) -> int:
        """The revision that was learnt, of one that may be derived."""
        row = self._db.one("SELECT source FROM derived WHERE task_id = ? AND revision = ?", task_id, revision)
        return revision if row is None else int(row["source"])

    def roll_back(self, version: int, generation: Generation, step: Step) -> None:
        """The head holds again what a version held, and the tasks say so."""
        reason = f"rolled back to version {version}"
        with self._db.transaction():
            self.advance(generation, reason, step, self.backbone_of(version))
            self._mark_as_held(reason)
            self._db.note(EventKind.ROLLBACK, f"version {generation.number} is what version {version} was")

    def join(self, generation: Generation, step: Step, what: str) -> None:
        """The classes that people joined, or no longer join; what: in a line."""
        with self._db.transaction():
            self.advance(generation, what, step)
            self._db.note(EventKind.JOINED if step.made else EventKind.PARTED, f"version {generation.number}: {what}")

    def forget(
        self, task_id: str, name: str, generation: Generation | None, step: Step, backbone: str | None = None
    ) -> list[str]:
        """Everything of a task goes, but a tombstone and which versions held it, and with it what it had a part in.

        generation: None if the head does not hold the task.  backbone: that of the generation, where it is another.
        Returns the folders, of other tasks, that stood on networks which it helped to train.
        """
        with self._db.transaction():
            if generation is not None:
                self.advance(generation, f"forgot {name}", step, backbone)
            folders = self._taint(task_id, name, step)
            self._db.run(
                "INSERT INTO forgotten SELECT task_id, name, first, COALESCE(last, ?) FROM members WHERE task_id = ?",
                *(self.head, task_id),
            )
            self._db.run("DELETE FROM members WHERE task_id = ?", task_id)
            self._db.run("DELETE FROM surveys WHERE task_id = ?", task_id)
            self._db.run("DELETE FROM derived WHERE task_id = ?", task_id)
            self.joins.mark_forgotten(task_id, name)
            self.relations.mark_forgotten(task_id)
            self.archives.mark_gone()
            self.leaderboard.mark_gone()
            self._db.run("DELETE FROM attempts WHERE job_id IN (SELECT id FROM jobs WHERE task_id = ?)", task_id)
            self._db.run("DELETE FROM jobs WHERE task_id = ?", task_id)
            self._leave_a_tombstone(task_id, name)
            self._db.note(
                TaskState.FORGOTTEN, "asked for by a person", name
            )  # first: observers count by the ids of events
            self._db.run("DELETE FROM events WHERE task = ? AND id < ?", name, self._db.last_event())
        return folders

    def _taint(self, task_id: str, name: str, step: Step) -> list[str]:
        """No version stands any more on what a task helped to train; what is known in no other way is learnt again."""
        tainted = self.tainted_by(task_id)
        stood = [row for row in self._db.all("SELECT * FROM members") if self.backbone_of(row["first"]) in tainted]
        for row in stood:
            one = row["task_id"], row["revision"]
            self._db.run("DELETE FROM members WHERE task_id = ? AND revision = ?", *one)
            self._db.run("DELETE FROM derived WHERE task_id = ? AND revision = ?", *one)
        for digest in tainted:
            self._db.run("UPDATE backbones SET tainted = 1, learners = '[]' WHERE hash = ?", digest)
            self._db.run("DELETE FROM decisions WHERE before = ?1 OR after = ?1", digest)
            self._db.note(EventKind.TAINTED, f"{name}, which is forgotten, had a part in the network {digest[:12]}")
        for row in self._db.all("SELECT id, verdict FROM decisions"):
            if any(change["task"] == name for change in json.loads(row["verdict"])["changes"]):
                self._db.run("DELETE FROM decisions WHERE id = ?", row["id"])
        back = {held.id for held in step.entering}
        for held in step.leaving:
            if held.id != task_id and held.id not in back:
                revision, why = self._book.next_revision(held.id), f"{name} is forgotten, and with it its network"
                self._book.mark_state(held.id, self._source(held.id, held.revision), TaskState.FORGOTTEN, why)
                self._db.run("UPDATE tasks SET fingerprint = '' WHERE id = ? AND state = 'forgotten'", held.id)
                self._book.mark(held.id, revision, held.name, TaskState.WAITING)
                self._book.mark_open(held.id, revision, f"{why}: it is learnt again")
        return [f"{row['task_id']}/{row['revision']}" for row in stood if row["task_id"] != task_id]

    def retire(self, keep: int) -> list[str]:
        """Only the newest versions, so many, can be returned to.  Returns the folders that none of them needs."""
        oldest = self.head - keep + 1
        if oldest <= self.kept_from:
            return []
        unneeded = (
            "last < ?1 AND NOT EXISTS (SELECT 1 FROM members k WHERE k.task_id = members.task_id "
            "AND k.revision = members.revision AND (k.last IS NULL OR k.last >= ?1))"
        )
        with self._db.transaction():
            self._db.put("kept_from", str(oldest))
            rows = self._db.all(f"SELECT DISTINCT task_id, revision FROM members WHERE {unneeded}", oldest)
            self._db.run(f"DELETE FROM members WHERE {unneeded}", oldest)
            self._db.run("DELETE FROM forgotten WHERE last < ?", oldest)
            held = "SELECT 1 FROM members m WHERE m.task_id = derived.task_id AND m.revision = derived.revision"
            self._db.run(f"DELETE FROM derived WHERE NOT EXISTS ({held})")
            self.joins.mark_retired(oldest)
            self.archives.mark_gone()
            self.leaderboard.mark_gone()
            base = "SELECT MAX(first) FROM foundations WHERE first <= ?"
            self._db.run(f"DELETE FROM foundations WHERE first < ({base})", oldest)
            self._db.run("DELETE FROM backbones WHERE hash NOT IN (SELECT hash FROM foundations) AND learners != '[]'")
        return [f"{row['task_id']}/{row['revision']}" for row in rows]

    def _mark_as_held(self, reason: str) -> None:
        """Of each task the revision that the head holds is learned, and what is newer is not."""
        held = (
            "SELECT COALESCE(d.source, m.revision) FROM members m LEFT JOIN derived d USING (task_id, revision) "
            "WHERE m.task_id = tasks.id AND m.last IS NULL"
        )
        undone = f"state = 'learned' AND revision > COALESCE(({held}), 0)"
        for row in self._db.all(f"SELECT id, revision, name FROM tasks WHERE {undone}"):
            why = f"undone: {reason}; `learnd retry` learns it again"
            self._book.mark_state(row["id"], row["revision"], TaskState.FORGOTTEN, why)
            self._db.note(EventKind.UNDONE, f"revision {row['revision']}: {reason}", row["name"])
        again = f"state = 'forgotten' AND revision = ({held})"
        for row in self._db.all(f"SELECT id, revision, name FROM tasks WHERE {again}"):
            self._book.mark_state(row["id"], row["revision"], TaskState.LEARNED, "")
            self._db.note(EventKind.RESTORED, f"revision {row['revision']}: {reason}", row["name"])

    def _leave_a_tombstone(self, task_id: str, name: str) -> None:
        """One row is left of all revisions: it says what the folder was, so that it is not learnt by itself again."""
        rows = self._book.revisions(name)
        digest = next((row.digest for row in reversed(rows) if row.digest), "")
        why = "forgotten as asked; `learnd retry` learns it again"
        self._db.run("DELETE FROM tasks WHERE id = ?", task_id)
        content = Content(rows[-1].fingerprint, digest)
        self._book.mark(task_id, rows[-1].revision, name, TaskState.FORGOTTEN, why, content)
        self._db.run(
            "UPDATE tasks SET reason = ? WHERE state = 'duplicate' AND digest = ? AND digest != ''",
            *(f"the same content as {name}, which is forgotten; `learnd retry` learns it", digest),
        )


_HELD = (
    "SELECT m.*, t.accuracy FROM members m LEFT JOIN derived d ON d.task_id = m.task_id AND d.revision = m.revision "
    "LEFT JOIN tasks t ON t.id = m.task_id AND t.revision = COALESCE(d.source, m.revision)"
)


def _held(row: Any) -> Held:
    return Held(*(row[name] for name in ("task_id", "revision", "name", "classes", "bytes", "accuracy")))
