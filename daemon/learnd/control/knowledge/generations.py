"""Immutable generations: how what was learnt becomes knowledge, and how it is found whole after any kill.

Order of a commit: the worker's files are synced and renamed into place, the manifest is written, and then ONE
transaction finishes the job, inserts the generation and moves the head.  Until that transaction nothing points at
the new files; `sweep` removes them at the next start.  A manifest lists what its generation changes and the sha256
of its parent's, so a commit costs the same whether ten or ten thousand tasks are known (docs/decisions/0003).

A rollback and a forgetting are generations of the same kind.  Files are removed once the transaction has gone through
after which nothing points at them (docs/decisions/0008); what a kill leaves of them is swept away, too.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from learnd import __version__
from learnd.control.files.durable import move_durably, sync_folder, write_durably
from learnd.control.files.image_archives import ARCHIVES, vouch_for
from learnd.control.journal.journal import Journal
from learnd.control.journal.queue import Lease
from learnd.control.journal.versions import BackboneRecord, Decision, Generation, Held, StaleEpoch, Step
from learnd.errors import StateError, StateUnavailable, TaskError
from learnd.identity import RESTORE, sha256_of, vouch
from learnd.messages.convert import SCHEMA
from learnd.messages.jobs import BackboneSpec, HeadFile, Member
from learnd.messages.outcomes import Consolidation, Outcome
from learnd.messages.report import Report
from learnd.messages.state_files import (
    ADAPTED_FILE,
    BACKBONE_FILE,
    CLASSIFIER_FILE,
    MANIFEST_FILE,
    REPORT_FILE,
    STATISTICS_FILE,
)
from learnd.messages.task import Join


class Generations:
    """The folders of a state that hold knowledge.  Whoever holds the state's lock writes them, and nobody else.

    retention: how many versions can be returned to; 0: all.
    """

    def __init__(self, state: Path, journal: Journal, retention: int = 0) -> None:
        self._journal = journal
        self._retention = retention
        self.tasks = state / "tasks"
        self.generations = state / "generations"
        self.backbones = state / "backbones"
        self.work = state / "work"
        self._head = state / CLASSIFIER_FILE

    def prepare(self) -> list[str]:
        """Make the folders, and remove what a killed daemon left behind.  Returns what was removed.

        Raises StateError, and removes nothing, where the journal is not the one that belongs to this state.
        """
        for folder in (self.tasks, self.generations, self.backbones, self.work):
            folder.mkdir(parents=True, exist_ok=True)
        self._refuse_a_strange_journal()
        self._journal.history.note_the_first_network()
        self._retire()
        return self._sweep()

    def _refuse_a_strange_journal(self) -> None:
        # Only the next generation can be unfinished.  Later ones were committed by a journal that is lost, and
        # to sweep them would throw away all that was learnt.
        known = max((number for number, _, _ in self._journal.generations()), default=0)
        latest = max((_number(folder.name.partition("-")[0]) for folder in self.generations.iterdir()), default=0)
        if latest > known + 1:
            what = f"the journal knows {known} generations, and generation {latest} is there"
            remedy = "restore the journal of this state, or move the state folder away to start from the beginning"
            raise StateError(what, where=str(self.generations.parent), remedy=remedy)

    def _sweep(self) -> list[str]:
        known = {f"{number}-{epoch}" for number, epoch, _ in self._journal.generations()}
        members = self._journal.known_folders()
        orphans = list(self.work.iterdir())
        orphans += [folder for folder in self.generations.iterdir() if folder.name not in known]
        for task in filter(Path.is_dir, self.tasks.iterdir()):
            orphans += [folder for folder in task.iterdir() if (task.name, _number(folder.name)) not in members]
        orphans = [orphan for orphan in orphans if orphan.is_dir()]  # a stray file is a person's, and in nobody's way
        for orphan in orphans:
            shutil.rmtree(orphan)
        if self.head_file() is None:  # a forgetting may have been cut short
            self._head.unlink(missing_ok=True)
        networks = self._unknown_backbones() if self.backbone_hash() else []
        for file in networks:
            file.unlink()
        for unfinished in self.tasks.glob("*/*/.*.new"):  # of an eviction
            unfinished.unlink()
        for task in filter(Path.is_dir, self.tasks.iterdir()):
            if not any(task.iterdir()):
                task.rmdir()
        return [str(orphan.relative_to(self.tasks.parent)) for orphan in [*orphans, *networks]]

    def backbone_hash(self) -> str | None:
        """The hash of the shared CNN that this state was made with, or None before its first worker."""
        return self._journal.db.get("backbone_hash")

    def knows_as_other(self, digest: str) -> bool:
        """Whether a network is, or was, one of this state's, and is not the head's."""
        known = self._journal.db.one("SELECT 1 FROM backbones WHERE hash = ?", digest)
        return known is not None and digest != self.backbone_hash()

    def backbone(self, name: str) -> BackboneSpec:
        """The shared CNN: the state's own copy, once it has one, so that no package upgrade changes what it knows.

        Raises StateError if the state was made with another than name, or the copy is damaged.
        """
        digest, made_with = self.backbone_hash(), self._journal.db.get("backbone")
        if digest is None or made_with is None:
            return BackboneSpec(name)
        if made_with != name:
            raise StateError(
                f"this state was made with backbone {made_with!r}, the settings say {name!r}",
                where=str(self.backbones.parent),
                remedy=f"set backbone: {made_with}, or choose another state folder",
            )
        copy = self.backbones / f"{digest}.safetensors"
        vouch(copy, self._journal.db.get("backbone_sha256") or "")
        return BackboneSpec(name, str(copy), digest)

    def keep_backbone(self, name: str, exported: Path, digest: str) -> None:
        """Keep the state's own copy: state/backbones/<hash>.safetensors."""
        copy = self.backbones / f"{digest}.safetensors"
        write_durably(copy, exported.read_bytes())
        with self._journal.db.transaction():
            self._journal.db.put("backbone", name)
            self._journal.db.put("backbone_hash", digest)
            self._journal.db.put("backbone_sha256", sha256_of(copy))
            row = digest, sha256_of(copy)
            self._journal.db.run("INSERT OR REPLACE INTO backbones (hash, sha256) VALUES (?, ?)", *row)
            self._journal.db.run("INSERT OR REPLACE INTO foundations VALUES (0, ?)", digest)

    def keep_head(self, version: int, file: Path, sha256: str) -> None:
        """Keep the head that a survey fitted, in place of an earlier one; it only saves time."""
        if self._journal.head == version:
            os.replace(file, self._head)
            self._journal.put(CLASSIFIER_FILE, json.dumps([version, sha256]))

    def head_file(self) -> HeadFile | None:
        """The head of what is known now, where one was fitted."""
        version, sha256 = json.loads(self._journal.db.get(CLASSIFIER_FILE) or "[0, null]")
        return HeadFile(str(self._head), sha256) if version == self._journal.head and sha256 else None

    def members(self, name: str | None = None) -> tuple[Member, ...]:
        """What the head holds, of all tasks or of the one with this name, and what vouches for its files.

        Raises StateError if a manifest is damaged; the files themselves are for the reader to check.
        """
        found = [member for member in self._journal.members() if name in (None, member[2])]
        joins = self._journal.history.joins.of_head()
        return tuple(self._member(*member, joins.get(member[0], ())) for member in found)

    def _member(self, task_id: str, revision: int, name: str, joins: tuple[Join, ...]) -> Member:
        files = self.committed(task_id, revision)
        sums = files[STATISTICS_FILE], files[ADAPTED_FILE]
        return Member(task_id, name, revision, str(self.tasks / task_id / str(revision)), *sums, joins)

    def committed(self, task_id: str, revision: int) -> dict[str, str]:
        """The files of a learnt revision, name -> sha256, by the manifest that the journal vouches for.

        Empty for a revision that was never learnt.  Raises StateError if the manifest is damaged.
        """
        origin = self._journal.origin(task_id, revision)
        return self._manifest(*origin)["added"][f"{task_id}/{revision}"] if origin else {}

    def report(self, task_id: str, revision: int) -> dict[str, Any] | None:
        """The report of a learnt revision as plain JSON; None of one that was never learnt.

        Raises StateError if it is not what was committed.
        """
        committed = self.committed(task_id, revision)
        if not committed:
            return None
        path = self.tasks / task_id / str(revision) / REPORT_FILE
        vouch(path, committed[path.name])
        return dict(json.loads(path.read_text()))

    def _manifest(self, number: int, epoch: int, digest: str) -> dict[str, Any]:
        path = self._manifest_path(number, epoch)
        vouch(path, digest)
        return dict(json.loads(path.read_text()))

    def _manifest_path(self, number: int, epoch: int) -> Path:
        return self.generations / f"{number}-{epoch}" / MANIFEST_FILE

    def commit(self, lease: Lease, report: Report, outcome: Outcome, out: Path) -> Generation:
        """Make a candidate that passed the gate part of the knowledge; returns the new generation.

        Raises StaleEpoch (and leaves the knowledge as it was) where the lease no longer holds.
        """
        if not self._journal.jobs.holds(lease):  # or its late files could take the place of committed ones
            raise StaleEpoch(f"{lease.name}: lease {lease.epoch} no longer holds")
        size = sum((out / name).stat().st_size for name in outcome.files)
        held = Held(lease.id, lease.revision, lease.name, len(report.classes), size)
        step = Step((held,), self._journal.history.current(lease.id))
        target = self.tasks / held.folder
        for file in out.iterdir():
            if file.name not in outcome.files:
                file.unlink()
        if target.exists():  # left by a commit that this same daemon began and could not finish
            shutil.rmtree(target)
        move_durably(out, target)
        added = {held.folder: dict(sorted(outcome.files.items()))}
        generation = self._write(step, lease.epoch, backbone=report.backbone_hash, seed=report.seed, added=added)
        self._journal.jobs.finish(lease, report, generation, step)
        self._retire()
        return generation

    def roll_back(self, version: int) -> Step:
        """Make the knowledge what it was at a version; returns what that changed, which may be nothing.

        Raises TaskError if the version is not kept, and StateError, with nothing changed, where a file of what
        would come back is damaged.
        """
        step = self._journal.history.way_to(version)
        for held in step.entering:
            for name, digest in self.committed(held.id, held.revision).items():
                self._vouch(held.id, held.revision, name, digest)
        backbone = self._journal.history.backbone_of(version)
        if backbone != self.backbone_hash():
            self._vouch_backbone(str(backbone))
        if step:
            restored = [held.folder for held in step.entering]
            generation = self._write(step, self._new_epoch(), restored=restored, backbone=backbone)
            self._journal.history.roll_back(version, generation, step)
            self._retire()
        return step

    def _vouch_backbone(self, digest: str) -> None:
        row = self._journal.db.one("SELECT sha256 FROM backbones WHERE hash = ?", digest)
        vouch(self.backbones / f"{digest}.safetensors", "" if row is None else str(row["sha256"]))

    def consolidate(
        self, out: Path, made: Consolidation, network: BackboneRecord, verdict: dict[str, Any]
    ) -> Generation:
        """All tasks move to a candidate network that passed the gate, in one step; returns the new generation.

        out: holds the network's file and every revision under <task id>/<revision>.  Raises StaleEpoch if the head
        is no longer the one that the candidate was made from.
        """
        book = self._journal.tasks
        if self._journal.head != made.parent or any(f.revision < book.next_revision(f.id) for f in made.forms):
            raise StaleEpoch(f"the knowledge is no longer version {made.parent}, or a task has new content")
        before = self._journal.history.held_by(made.parent)
        entering, added = [], {}
        for form in made.forms:
            old = before[form.id]
            size = sum((out / form.folder / name).stat().st_size for name in form.files)
            entering.append(Held(form.id, form.revision, old.name, old.classes, size))
            added[form.folder] = dict(sorted(form.files.items()))
        step = Step(tuple(entering), tuple(before[held.id] for held in entering))
        write_durably(self.backbones / f"{network.hash}.safetensors", (out / BACKBONE_FILE).read_bytes())
        for held in entering:
            target = self.tasks / held.folder
            if target.exists():  # left by an attempt of this same daemon that could not be finished
                shutil.rmtree(target)
            move_durably(out / held.folder, target)
        generation = self._write(step, self._new_epoch(), backbone=network.hash, added=added)
        sources = {form.id: before[form.id].revision for form in made.forms}
        decision = Decision(made.parent, generation.number, str(self.backbone_hash()), network.hash, verdict)
        self._journal.history.consolidate(generation, step, network, sources, decision)
        self._retire()
        return generation

    def join(self, step: Step, what: str) -> None:
        """Classes are joined, or no longer, as a person asked; what: in a line."""
        self._journal.history.join(self._write(step, self._new_epoch()), step, what)
        self._retire()

    def forget(self, name: str) -> None:
        """Remove a task for good, from every version; to do it twice finishes what was left undone.

        Raises TaskError if there is no such task, and StateUnavailable if its files cannot be removed now.
        """
        rows = self._journal.tasks.revisions(name)
        if not rows:
            raise TaskError(f"there is no task {name!r}", remedy="`learnd tasks` lists them")
        identity = rows[-1].id
        step, network = self._without(identity)
        restored = [held.folder for held in step.entering]
        changes = bool(step.leaving)
        generation = self._write(step, self._new_epoch(), backbone=network, restored=restored) if changes else None
        tainted = self._journal.history.forget(identity, name, generation, step, network)
        try:
            self._head.unlink(missing_ok=True)  # it holds the means of what is forgotten
            for folder in tainted:
                shutil.rmtree(self.tasks / folder, ignore_errors=True)  # what is left is swept at the next start
            for file in self._unknown_backbones():
                file.unlink(missing_ok=True)
            if (self.tasks / identity).exists():
                shutil.rmtree(self.tasks / identity)
            self._journal.db.scrub()
        except (OSError, StateUnavailable) as error:
            what = f"{name!r} is forgotten, but what was written of it could not all be removed ({error})"
            raise StateUnavailable(what, remedy="mend that, and forget it once more") from error
        self._retire()

    def _without(self, identity: str) -> tuple[Step, str | None]:
        """What the head loses with a task, and the network it then stands on.

        If the task had a part in the head's network, that is the last one that it had none in: of what others know,
        the same content comes back as that network knew it.  Raises StateError if a file of that is damaged.
        """
        history, network = self._journal.history, self.backbone_hash()
        if network not in history.tainted_by(identity):
            return Step(leaving=history.current(identity)), network
        clean = history.last_clean(identity)
        self._vouch_backbone(clean)
        leaving = tuple(history.held_by(self._journal.head).values())
        old = [history.on_network(held, clean) for held in leaving if held.id != identity]
        for held in filter(None, old):
            for name, digest in self.committed(held.id, held.revision).items():
                self._vouch(held.id, held.revision, name, digest)
        return Step(tuple(held for held in old if held is not None), leaving), clean

    def _vouch(self, task_id: str, revision: int, name: str, sha256: str) -> None:
        """Raises StateError unless a file of a revision is what was committed, or what an eviction has left of it."""
        path = self.tasks / task_id / str(revision) / name
        try:
            vouch(path, sha256)
        except StateUnavailable:
            raise
        except StateError:
            # Asked only now: an eviction, which says so before it does it, may have come in between.
            known = self._journal.history.archives.of(task_id, revision) if name in ARCHIVES else []
            smaller = next((one for one in known if one.name == name and one.kept is not None), None)
            if smaller is None:
                raise
            vouch_for(path, smaller.counts)

    def _new_epoch(self) -> int:
        with self._journal.db.transaction():
            return self._journal.history.draw_epoch()

    def _retire(self) -> None:
        """Remove what no version needs that can be returned to."""
        for folder in self._journal.history.retire(self._retention) if self._retention else ():
            shutil.rmtree(self.tasks / folder, ignore_errors=True)  # what cannot be removed is swept at the next start
        for file in self._unknown_backbones():
            file.unlink(missing_ok=True)

    def _unknown_backbones(self) -> list[Path]:
        """Files of networks that no version needs, and what a kill left of one that was being written."""
        rows = self._journal.db.all("SELECT hash FROM backbones WHERE NOT tainted")
        known = {str(row["hash"]) for row in rows}
        known |= {self.backbone_hash() or ""}
        unneeded = [file for file in self.backbones.glob("*.safetensors") if file.stem not in known]
        return [*unneeded, *self.backbones.glob(".*.safetensors.new")]

    def _write(self, step: Step, epoch: int, **facts: object) -> Generation:
        """Write the manifest of the next generation; facts: what it says beyond its step and its place."""
        parent = self._journal.head
        manifest: dict[str, object] = {
            "schema": SCHEMA,
            "number": parent + 1,
            "epoch": epoch,
            "parent": parent,
            "parent_sha256": self._journal.manifest(parent),
            "backbone": self.backbone_hash(),
            "learnd": __version__,
            "added": {},
            "restored": [],
            "removed": [held.folder for held in step.leaving],
            **facts,
        }
        path = self._manifest_path(parent + 1, epoch)
        path.parent.mkdir(exist_ok=True)
        write_durably(path, json.dumps(manifest, indent=1, sort_keys=True).encode())
        sync_folder(self.generations)
        return Generation(parent + 1, epoch, parent, sha256_of(path))

    def verify(self) -> int:
        """Check every network, every manifest against the journal and its parent, and the files that are kept of it.

        Returns the number of the files of manifests.  Raises StateError that names the first thing that is damaged.
        """
        checked = 0
        parent_digest = ""
        for row in self._journal.db.all("SELECT hash, sha256 FROM backbones WHERE NOT tainted ORDER BY hash"):
            vouch(self.backbones / f"{row['hash']}.safetensors", row["sha256"])
        for number, epoch, digest in self._journal.generations():
            manifest = self._manifest(number, epoch, digest)
            if manifest["parent_sha256"] != parent_digest:
                path = self._manifest_path(number, epoch)
                raise StateError("does not descend from its parent", where=str(path), remedy=RESTORE)
            parent_digest = digest
            for folder, files in manifest["added"].items():
                task_id, _, revision = folder.rpartition("/")
                origin = self._journal.origin(task_id, int(revision))
                needed = origin is not None and origin[0] == number
                for name, expected in files.items() if needed else ():
                    self._vouch(task_id, int(revision), name, expected)
                    checked += 1
        return checked


def _number(name: str) -> int:
    return int(name) if name.isdigit() else -1
