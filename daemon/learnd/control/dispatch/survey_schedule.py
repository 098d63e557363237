"""When the knowledge is surveyed, of which tasks is asked, and what becomes of the answers.

A survey comes last: it begins only where no job waits and every worker is idle, and makes way for any that comes.  One
that was lost, to a kill or a defect, has changed nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from learnd.control.journal.journal import Journal
from learnd.control.journal.surveys import Share, SurveyResult
from learnd.control.knowledge.generations import Generations
from learnd.errors import LearndError
from learnd.messages.jobs import Member, SurveySpec, TaskToSurvey
from learnd.messages.outcomes import Outcome, OutcomeStatus, Surveyed
from learnd.messages.state_files import CLASSIFIER_FILE, HELD_OUT_FEATURES_FILE


class Surveying:
    """limit: tasks of which is asked at most; 0: none ever is.  notice(level, text) tells people."""

    def __init__(
        self, journal: Journal, generations: Generations, limit: int, notice: Callable[[str, str], None]
    ) -> None:
        self._journal = journal
        self._generations = generations
        self._limit = limit
        self._notice = notice
        self._tried = 0  # the version that was last handed out, or could not be
        self._asked: dict[str, Member] = {}  # of that one

    def due(self) -> bool:
        """Whether the head has not been asked about yet."""
        head = self._journal.head
        return self._limit > 0 and head not in (0, self._tried, self._journal.surveys.last)

    def spec(self, out: Path) -> SurveySpec | None:
        """The job; None, after telling people, when the state does not allow it."""
        self._tried = head = self._journal.head
        try:
            members = self._generations.members()
            self._asked = {member.id: member for member in sample(members, self._limit)}
            asked = [
                TaskToSurvey(member.id, self._files(member).get(HELD_OUT_FEATURES_FILE))
                for member in self._asked.values()
            ]
        except LearndError as error:
            self._notice("warning", f"version {head} cannot be surveyed: {error}")
            return None
        return SurveySpec(head, members, tuple(asked), str(out))

    def came(self, version: int, outcome: Outcome, out: Path) -> None:
        """Keep what a survey found, and the head that it left in out; ask again later where it made way."""
        if version != self._journal.head:  # rolled back or forgotten meanwhile: the new head is asked about
            return
        if outcome.status is OutcomeStatus.DROPPED:
            self._tried = 0
            return
        if outcome.status is OutcomeStatus.DONE:
            try:
                found = [self._finding(self._asked[one.id], one) for one in outcome.surveyed]
                self._journal.surveys.record(version, found)
                ids = {name: task_id for task_id, _, name in self._journal.members()}
                self._journal.history.relations.record(version, outcome.related, ids)
                self._generations.keep_head(version, out / CLASSIFIER_FILE, outcome.files[CLASSIFIER_FILE])
                return
            except (LearndError, OSError) as error:
                outcome = Outcome(OutcomeStatus.FAILED, str(error))
        self._notice("warning", f"version {version} could not be surveyed: {outcome.reason}")

    def _finding(self, member: Member, one: Surveyed) -> SurveyResult:
        report = self._generations.report(member.id, member.revision)
        assert report is not None  # a member was learnt
        tries = report["measured_images"]
        scoped = Share(round((report["accuracy"] or 0.0) * tries), tries, report["measured_on"])
        unified = Share(one.correct.count("1"), len(one.correct), one.measured_on)
        return SurveyResult(member.id, report["digest"], member.name, scoped, unified, one.correct)

    def _files(self, member: Member) -> dict[str, str]:
        return self._generations.committed(member.id, member.revision)


def sample(members: Sequence[Member], limit: int) -> list[Member]:
    """At most limit members, those with the smallest hash of their id: in every version nearly the same ones."""
    chosen = sorted(members, key=lambda member: hashlib.sha256(member.id.encode()).digest())[:limit]
    return sorted(chosen, key=lambda member: member.id)
