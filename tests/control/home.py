"""A state whose tasks are learnt by hand, from the candidates of candidates.py."""

from __future__ import annotations

import zlib
from pathlib import Path

from learnd.control.journal.journal import Journal
from learnd.control.journal.queue import Lease
from learnd.control.journal.tasks import Content
from learnd.control.knowledge.generations import Generations
from learnd.messages.jobs import JobSpec
from learnd.messages.task import ImageFile, TaskOptions
from tests.control.archives import packed
from tests.control.candidates import candidate, named


class Home:
    """A state with a journal, and tasks learnt by hand."""

    def __init__(self, state: Path, retention: int = 0) -> None:
        self.state = state
        self.journal = Journal(state / "journal.sqlite", create=True)
        self.generations = Generations(state, self.journal, retention)
        self.generations.prepare()

    def lease(self, name: str, digest: str = "d1", options: TaskOptions | None = None) -> Lease:
        files = (ImageFile(f"{name}-image.png", "a"),)
        spec = JobSpec(f"/tasks/{name}", files, options or TaskOptions())
        self.journal.jobs.accept(name, name, Content(digest, digest, ways=2, images=10), spec)
        held = self.journal.jobs.lease("cpu:0")
        assert held is not None
        return held

    def commit(self, held: Lease, images: bytes | None = None) -> int:
        out = self.state / "work" / f"{held.job}-{held.epoch}" / "out"
        report = named(held.name, held.revision)
        images = images or packed({"a": 1}, seed=zlib.crc32(f"{held.name}, {held.digest}".encode()))
        return self.generations.commit(held, report, candidate(out, report, exemplars_zip=images), out).number

    def learn(
        self, name: str, digest: str = "d1", images: bytes | None = None, options: TaskOptions | None = None
    ) -> int:
        return self.commit(self.lease(name, digest, options), images)

    def knowledge(self) -> dict[str, bytes]:
        """Every file that an answer of the head comes from: its path below tasks/, its bytes."""
        folders = [Path(member.folder) for member in self.generations.members()]
        files = [file for folder in folders for file in folder.iterdir()]
        return {str(file.relative_to(self.generations.tasks)): file.read_bytes() for file in files}

    def files(self) -> set[str]:
        """The paths below tasks/ of all that is there."""
        return {str(path.relative_to(self.generations.tasks)) for path in self.generations.tasks.rglob("*")}

    def states(self) -> dict[str, str]:
        """The state of every revision: "cats/1" -> "learned"."""
        return {f"{row.name}/{row.revision}": str(row.state) for row in self.journal.tasks.all()}
