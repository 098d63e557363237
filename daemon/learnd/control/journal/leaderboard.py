"""How the algorithms did on the tasks that are known: what each bid, where it was measured, what it won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learnd.control.journal.database import Database
from learnd.messages.report import CandidateScore


@dataclass(frozen=True)
class Standing:
    """One algorithm, over what the head holds.

    bids: tasks on which it bid more than 0; measured: those on which it was cross-validated; wins: those that it
    learnt.  rank: its mean place among the measured ones, 1 is the best, equal accuracies share theirs; seconds: the
    mean that a measurement took.  Both None if it was never measured.
    """

    algorithm: str
    bids: int
    measured: int
    wins: int
    rank: float | None
    seconds: float | None


class Leaderboard:
    """The `candidates` table.  Methods that start with `mark` expect to run inside a transaction of the caller."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def mark_learnt(self, task_id: str, revision: int, candidates: Sequence[CandidateScore]) -> None:
        """What the report of a revision says, in place of what was known of it."""
        self._db.run("DELETE FROM candidates WHERE task_id = ? AND revision = ?", task_id, revision)
        measured = [one.accuracy for one in candidates if one.accuracy is not None]
        for one in candidates:
            rank = None
            if one.accuracy is not None:
                better = sum(value > one.accuracy for value in measured)
                rank = better + (measured.count(one.accuracy) + 1) / 2
            row = one.algorithm, one.bid, int(one.outcome == "chosen"), rank, one.seconds
            self._db.run("INSERT INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?)", task_id, revision, *row)

    def standings(self) -> dict[str, Standing]:
        """By algorithm."""
        rows = self._db.all(
            "SELECT c.algorithm, SUM(c.bid > 0) AS bids, COUNT(c.rank) AS measured, SUM(c.won) AS wins, "
            "AVG(c.rank) AS rank, AVG(c.seconds) AS seconds FROM members m "
            "LEFT JOIN derived d ON d.task_id = m.task_id AND d.revision = m.revision "
            "JOIN candidates c ON c.task_id = m.task_id AND c.revision = COALESCE(d.source, m.revision) "
            "WHERE m.last IS NULL GROUP BY c.algorithm"
        )
        return {row["algorithm"]: Standing(**row) for row in rows}

    def mark_gone(self) -> None:
        """What is said of revisions that no version holds any more."""
        held = (
            "SELECT 1 FROM members m LEFT JOIN derived d ON d.task_id = m.task_id AND d.revision = m.revision "
            "WHERE m.task_id = candidates.task_id AND COALESCE(d.source, m.revision) = candidates.revision"
        )
        self._db.run(f"DELETE FROM candidates WHERE NOT EXISTS ({held})")
