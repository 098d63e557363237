"""Which classes of different tasks are one: what a task.yaml says of it, and what that comes to.

Two classes of equal name in two tasks are two classes, until somebody joins them.  A join points from a class to the
one that it is answered as; what it points to need not be known yet, and then it does nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from learnd.identity import nfc
from learnd.messages.jobs import Member
from learnd.messages.task import Join, Problem, TaskOptions
from learnd.suggest import did_you_mean

Pair = tuple[str, str]  # a task by name, and a class of it


def pair_of(text: str) -> Pair | None:
    """What "TASK/CLASS" names; None if it does not have that form."""
    task, slash, name = nfc(text).partition("/")
    return (task, name) if task and slash and name and "/" not in name else None


def joins_of(options: TaskOptions, classes: Sequence[str]) -> tuple[Join, ...]:
    """What a task.yaml says of these classes, in their order; of one that has an alias, extends says nothing."""
    alias = {nfc(name): pair_of(text) for name, text in options.alias.items()}
    found: list[Join] = []
    for name in classes:
        target = alias[name] if name in alias else (nfc(options.extends), name) if options.extends else None
        if target is not None:
            found.append(Join(name, *target))
    return tuple(found)


def problems_of(options: TaskOptions, task: str, classes: Collection[str], where: str) -> list[Problem]:
    """What is wrong with what a task.yaml says of the classes of a folder."""
    found: list[Problem] = []

    def wrong(what: str, remedy: str) -> None:
        found.append(Problem("bad-join", where, what, remedy))

    for name, text in options.alias.items():
        if nfc(name) not in classes:
            remedy = did_you_mean(nfc(name), classes, "name a class folder of this task")
            wrong(f"alias: there is no class {name!r} here", remedy)
        target = pair_of(text)
        if target is None:
            wrong(f"alias.{name}: {text!r} does not name a class of a task", "write TASK/CLASS")
        elif target == (nfc(task), nfc(name)):
            wrong(f"alias.{name}: a class cannot be joined to itself", "name a class of another task")
    if options.extends is not None and nfc(options.extends) == nfc(task):
        wrong("extends: a task cannot extend itself", "name another task")
    return found


def joined(members: Iterable[Member]) -> dict[Pair, Pair]:
    """What classes of the members point to, known or not."""
    return {(one.name, join.class_name): (join.task, join.other) for one in members for join in one.joins}


def answered_as(classes: Sequence[Pair], joins: Mapping[Pair, Pair]) -> list[Pair]:
    """For each class the one that it is answered as, itself if it is joined to nothing that is known.

    Joins are followed to their end.  Of those that run in a circle the first by name is the one.
    """
    known = set(classes)

    def end(pair: Pair) -> Pair:
        seen = [pair]
        while (following := joins.get(seen[-1])) is not None and following in known:
            if following in seen:
                return min(seen[seen.index(following) :])
            seen.append(following)
        return seen[-1]

    return [end(pair) for pair in classes]
