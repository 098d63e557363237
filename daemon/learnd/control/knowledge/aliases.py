"""`learnd alias`: what a person asks to be joined, or no longer, checked against what is known."""

from __future__ import annotations

from collections.abc import Mapping

from learnd.control.journal.class_joins import Alias
from learnd.control.journal.journal import Journal
from learnd.control.journal.versions import Step
from learnd.control.knowledge.generations import Generations
from learnd.errors import TaskError
from learnd.messages.jobs import Member
from learnd.messages.joins import Pair, answered_as, joined, pair_of
from learnd.messages.task import Join
from learnd.suggest import did_you_mean


class Aliasing:
    """For whoever holds the state's lock."""

    def __init__(self, journal: Journal, generations: Generations) -> None:
        self._journal = journal
        self._generations = generations

    def join(self, text: str, target: str) -> None:
        """From now on a class is answered as another, each "TASK/CLASS".  To ask for it again changes nothing.

        Raises TaskError if one of them is not known, or this would run in a circle, or it is joined to another.
        """
        members = {member.name: member for member in self._generations.members()}
        source, into = (self._known(members, one) for one in (text, target))
        joins = joined(members.values())
        end = answered_as([*joins, *joins.values(), into], joins)[-1]
        if source == end:
            what = "a class cannot be joined to itself" if source == into else f"{target} is answered as it already"
            raise TaskError(what, where=text, remedy="learnd alias lists what is joined")
        alias = Alias(members[source[0]].id, Join(source[1], *into))
        asked = self._asked(alias.task_id, source[1])
        if asked == alias:
            return
        if asked is not None:
            what = f"is joined to {asked.join.task}/{asked.join.other}"
            raise TaskError(what, where=text, remedy=f"learnd alias --remove {text} takes that back")
        self._generations.join(Step(made=(alias,)), f"joined {text} to {target}")

    def part(self, text: str) -> None:
        """A class is answered as itself again, or as its task.yaml says.  Raises TaskError if nobody joined it."""
        pair = _pair(text)
        rows = self._journal.tasks.revisions(pair[0])
        asked = self._asked(rows[-1].id, pair[1]) if rows else None
        if asked is None:
            remedy = "learnd alias lists what is; what a task.yaml says is changed there"
            raise TaskError("is not joined to anything by a person", where=text, remedy=remedy)
        self._generations.join(Step(ended=(asked,)), f"parted {text} from {asked.join.task}/{asked.join.other}")

    def _asked(self, task_id: str, name: str) -> Alias | None:
        asked = self._journal.history.joins.asked_at(self._journal.head)
        return next((one for one in asked if (one.task_id, one.join.class_name) == (task_id, name)), None)

    def _known(self, members: Mapping[str, Member], text: str) -> Pair:
        task, name = _pair(text)
        if task not in members:
            remedy = did_you_mean(task, members, "`learnd tasks` lists all tasks")
            raise TaskError(f"no task {task!r} has been learnt", where=text, remedy=remedy)
        classes = self._classes(members[task])
        if name not in classes:
            remedy = did_you_mean(name, classes)
            raise TaskError(f"{task!r} has no class {name!r}", where=text, remedy=remedy)
        return task, name

    def _classes(self, member: Member) -> list[str]:
        report = self._generations.report(member.id, member.revision)
        assert report is not None  # a member was learnt
        return list(report["classes"])


def _pair(text: str) -> Pair:
    pair = pair_of(text)
    if pair is None:
        raise TaskError(f"{text!r} does not name a class of a task", remedy="write TASK/CLASS")
    return pair
