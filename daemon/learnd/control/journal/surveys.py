"""What surveys found: how accurately each task was classified by itself and among everything, version by version.

A task is known by its id and the digest of its folder: new content is another column of the matrix, and content that is
learnt again in another network is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from learnd.control.journal.database import Database
from learnd.messages.report import MeasuredOn
from learnd.metrics import Matrix, negative_flips

SURVEYED = "surveyed"  # in meta: the version that was last asked about


@dataclass(frozen=True)
class Share:
    """So many hits of tries images, and which images they were; None if there were none."""

    hits: int
    tries: int
    measured_on: MeasuredOn | None


@dataclass(frozen=True)
class SurveyResult:
    """One task at one version.  scoped: by its own state, as its report has it; unified: among everything.

    correct (the column `told`): of unified, "1" per image classified correctly, "0" per other image.  flips: of the
    compared images those that the survey before classified correctly, and this one wrongly.
    """

    task_id: str
    digest: str
    name: str
    scoped: Share
    unified: Share
    correct: str = ""
    flips: int = 0
    compared: int = 0


class Surveys:
    """The `surveys` table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def last(self) -> int:
        """The version that was last asked about; 0 before any was."""
        return int(self._db.get(SURVEYED) or 0)

    def record(self, version: int, found: Iterable[SurveyResult]) -> bool:
        """Keep what a survey of a version found, and count the flips since the last of each task.

        False, and nothing is kept, where the head has moved meanwhile: what was asked about may be forgotten now.
        """
        with self._db.transaction():
            if int(self._db.get("head") or 0) != version:
                return False
            self._db.run("DELETE FROM surveys WHERE version = ?", version)
            for finding in found:
                self._insert(version, finding)
            self._db.put(SURVEYED, str(version))
        return True

    def _insert(self, version: int, one: SurveyResult) -> None:
        before = self._db.one(
            "SELECT told FROM surveys WHERE task_id = ? AND digest = ? AND unified_on IS ? AND told != '' "
            "ORDER BY version DESC LIMIT 1",
            *(one.task_id, one.digest, one.unified.measured_on),
        )
        flips = compared = 0
        if before is not None and len(before["told"]) == len(one.correct):
            flips, compared = negative_flips(before["told"], one.correct), len(one.correct)
        self._db.run("UPDATE surveys SET told = '' WHERE task_id = ? AND digest = ?", one.task_id, one.digest)
        shares = [(share.hits, share.tries, share.measured_on) for share in (one.scoped, one.unified)]
        self._db.run(
            "INSERT INTO surveys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(version, one.task_id, one.digest, one.name, *shares[0], *shares[1], one.correct, flips, compared),
        )

    def all(self) -> list[tuple[int, SurveyResult]]:
        """Every version that was asked about, with each task of which it was; the oldest first."""
        rows = self._db.all("SELECT * FROM surveys ORDER BY version, task_id")
        return [
            (
                row["version"],
                SurveyResult(
                    row["task_id"],
                    row["digest"],
                    row["name"],
                    Share(row["scoped_hits"], row["scoped_tries"], row["scoped_on"]),
                    Share(row["unified_hits"], row["unified_tries"], row["unified_on"]),
                    row["told"],
                    row["flips"],
                    row["compared"],
                ),
            )
            for row in rows
        ]


def matrices(listed: Iterable[tuple[int, SurveyResult]]) -> tuple[Matrix, Matrix]:
    """R task-scoped and R unified of what `Surveys.all` gives: rows in order, columns as the tasks came.

    A name that stands for two contents, one after the other, is followed by the start of the digest.
    """
    found = list(listed)
    versions = list(dict.fromkeys(version for version, _ in found))
    contents = {(one.task_id, one.digest): one.name for _, one in found}  # in the order of their first rows
    names = Counter(contents.values())
    labels = [name if names[name] == 1 else f"{name} ({key[1][:8]})" for key, name in contents.items()]
    row, column = ({key: number for number, key in enumerate(keys)} for keys in (versions, contents))
    cells: list[list[list[float | None]]] = [[[None] * len(column) for _ in versions] for _ in range(2)]
    for version, one in found:
        for values, share in zip(cells, (one.scoped, one.unified), strict=True):
            if share.tries:
                values[row[version]][column[one.task_id, one.digest]] = share.hits / share.tries
    scoped, unified = (Matrix(tuple(versions), tuple(labels), tuple(map(tuple, values))) for values in cells)
    return scoped, unified
