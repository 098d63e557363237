"""The data that commands print as JSON, and text_output.py as text.  It only reads the journal, without a lock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from learnd.control.files.lock import holder_of
from learnd.control.intake.filesystem import backend_for
from learnd.control.journal.class_joins import Alias
from learnd.control.journal.journal import JOURNAL, Journal, KnowledgeSize
from learnd.control.journal.tasks import TaskRow
from learnd.control.journal.versions import LEARNED, Held, Version
from learnd.control.knowledge.generations import Generations
from learnd.errors import UsageError
from learnd.messages.convert import Json, to_json, to_json_all
from learnd.messages.joins import answered_as
from learnd.messages.plugins import PluginInfo
from learnd.messages.state_files import EXEMPLARS_FILE, HELD_OUT_IMAGES_FILE
from learnd.messages.task import Join, TaskState
from learnd.settings.keys import Settings
from learnd.suggest import did_you_mean

EVENTS = 50  # that `show` lists


@contextmanager
def opened(settings: Settings) -> Iterator[Journal]:
    """Open the journal of a state.  Raises StateError if there is none or it is damaged, also while it is in use."""
    journal = Journal(settings.state / JOURNAL)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def journal_if_any(settings: Settings) -> Iterator[Journal | None]:
    """The same, or None if no daemon has ever run."""
    if not (settings.state / JOURNAL).exists():
        yield None
        return
    with opened(settings) as journal:
        yield journal


def status(settings: Settings) -> Json:
    """`learnd status --json`, without the schema."""
    holder = holder_of(settings.state)
    daemon: Json = {"state": "stopped", "pid": None}
    if holder is not None:
        daemon = {"state": "running", "pid": holder.pid, "host": holder.host, "since": holder.since}
    with journal_if_any(settings) as journal:
        return {
            "daemon": daemon,
            "paused": journal.paused if journal and holder else None,
            "watching": _watching(settings, journal if holder else None),
            "counts": journal.tasks.counts() if journal else {state.value: 0 for state in TaskState},
            "knowledge": knowledge(settings, journal),
            "devices": devices(journal, running=holder is not None) if journal else [],
            "plugins": [plugin_json(plugin) for plugin in journal.plugins()] if journal else [],
        }


def _watching(settings: Settings, journal: Journal | None) -> Json:
    """What the daemon watches; without one, what it would watch."""
    watching = journal.db.get("watching") if journal else None
    if watching is not None:
        return dict(json.loads(watching))
    wanted = settings.watch.backend
    return {"path": str(settings.tasks), "backend": backend_for(settings.tasks)[0] if wanted == "auto" else wanted}


def knowledge(settings: Settings, journal: Journal | None) -> Json:
    """The size of the current version."""
    size = journal.size() if journal else KnowledgeSize(0, 0, 0, 0)
    made_with = journal.db.get("backbone") if journal else None
    return {
        "version": size.version,
        "classes": size.classes,
        "tasks": size.tasks,
        "bytes": size.bytes,
        "backbone": made_with or settings.backbone,
    }


def devices(journal: Journal, *, running: bool) -> list[Json]:
    """A daemon that was killed leaves its rows behind; running says that they are current."""
    return [
        {
            "name": row.name,
            "busy": running and row.task is not None,
            "task": row.task if running else None,
            "state": row.state if running else "stopped",
        }
        for row in journal.workers()
    ]


def plugin_json(plugin: PluginInfo) -> Json:
    return {name: value for name, value in to_json(plugin).items() if name != "options"}


def tasks(rows: Sequence[TaskRow]) -> list[Json]:
    """Every revision of every task, as in `learnd tasks --json`.  newest: there is no later revision."""
    newest = {row.id: row.revision for row in sorted(rows, key=lambda row: row.revision)}
    return [{**_row(row), "newest": row.revision == newest[row.id]} for row in rows]


def _row(row: TaskRow) -> Json:
    return {
        "name": row.name,
        "id": row.id,
        "revision": row.revision,
        "state": row.state.value,
        "reason": row.reason,
        "ways": row.ways,
        "images": row.images,
        "algorithm": row.algorithm,
        "accuracy": row.accuracy,
        "accuracy_ci": None if row.ci_low is None else [row.ci_low, row.ci_high],
        "seconds": row.seconds,
        "version": row.version,
        "updated": row.updated,
    }


def versions(journal: Journal) -> list[Json]:
    """Every kept version, as in `learnd versions --json`.  task and accuracy: if learning one task made it."""
    head = journal.head
    return [{**_version(version), "head": version.number == head} for version in journal.history.versions()]


def _version(version: Version) -> Json:
    entering, leaving = version.step.entering, version.step.leaving
    new, old = {held.id for held in entering}, {held.id for held in leaving}
    learnt = entering[0] if len(entering) == 1 and version.reason.startswith(LEARNED) else None
    return {
        "version": version.number,
        "created": version.created,
        "reason": version.reason,
        "task": learnt.name if learnt else None,
        "accuracy": learnt.accuracy if learnt else None,
        "added": [_held(held) for held in entering if held.id not in old],
        "replaced": [_held(held) for held in leaving if held.id in new],
        "removed": [_held(held) for held in leaving if held.id not in new],
        "without": list(version.without),
        "tasks": version.tasks,
        "classes": version.classes,
        "bytes": version.bytes,
    }


def _held(held: Held) -> Json:
    return {"task": held.name, "revision": held.revision}


def decisions(journal: Journal) -> list[Json]:
    """Every decision about a candidate network, the newest first, with its reasons and numbers."""
    return [
        {
            "at": one.at,
            "parent": one.parent,
            "version": one.version,
            "backbone_before": one.before,
            "backbone_after": one.after,
            **one.verdict,
        }
        for one in journal.history.decisions()
    ]


def task(settings: Settings, journal: Journal, name: str) -> Json:
    """`learnd show TASK --json`, without the schema: every revision, the newest last, with its report."""
    rows, generations = journal.tasks.revisions(name), Generations(settings.state, journal)
    revisions = [
        {
            **row_json,
            "digest": row.digest,
            "problems": to_json_all(row.problems),
            "detail": row.detail,
            "kept": _kept(journal, row),
            "report": generations.report(row.id, journal.history.form_of(row.id, row.revision)),
        }
        for row, row_json in zip(rows, tasks(rows), strict=True)
    ]
    events = [{"at": e.at, "kind": e.kind, "message": e.message} for e in journal.db.events(EVENTS, name)]
    joined = [one for one in joins(journal, settings) if name in (one["task"], one["to_task"])]
    return {
        "name": name,
        "id": rows[-1].id,
        "revisions": revisions,
        "nearest": to_json_all(journal.history.relations.nearest(rows[-1].id)),
        "twins": [one for one in twins(journal) if name in (one["task"], one["to_task"])],
        "joins": joined,
        "events": events,
    }


def _kept(journal: Journal, row: TaskRow) -> Json | None:
    """How many images of a revision are kept, and how many memory.max_bytes evicted; None before they are counted."""
    found = journal.history.archives.of(row.id, journal.history.form_of(row.id, row.revision))
    if not found:
        return None
    counts = {one.name: sum(one.counts.values()) for one in found}
    whole = sum(len(own) for one in found for own in one.sizes.values())
    return {
        "exemplars": counts.get(EXEMPLARS_FILE, 0),
        "held_out": counts.get(HELD_OUT_IMAGES_FILE, 0),
        "evicted": whole - sum(counts.values()),
        "classes": next((one.counts for one in found if one.name == EXEMPLARS_FILE), {}),
    }


def twins(journal: Journal) -> list[Json]:
    """Pairs of classes of different tasks that look the same and are not joined, the most similar first."""
    likely = journal.history.relations.twins()
    if not likely:  # the common case, and the dashboard asks often
        return []
    joins = {(name, one.class_name): (one.task, one.other) for name, found in _joins(journal) for one in found}
    pairs = [((one.task, one.twin.class_name), (one.twin.task, one.twin.other)) for one in likely]
    answered = iter(answered_as([*joins.values(), *(side for pair in pairs for side in pair)], joins)[len(joins) :])
    apart = [left != right for left, right in zip(answered, answered, strict=True)]
    return [
        {
            "task": one.task,
            "class": one.twin.class_name,
            "to_task": one.twin.task,
            "to_class": one.twin.other,
            "ratio": one.twin.ratio,
        }
        for one, is_apart in zip(likely, apart, strict=True)
        if is_apart
    ]


def _joins(journal: Journal) -> list[tuple[str, tuple[Join, ...]]]:
    joins = journal.history.joins.of_head()
    return [(name, joins.get(task_id, ())) for task_id, _, name in journal.members()]


def joins(journal: Journal, settings: Settings) -> list[Json]:
    """Every class that is joined to another, as in `learnd alias --json`.

    by: "task.yaml", or "alias", which a person asked for.  in_force: what it points to is known.
    """
    generations = Generations(settings.state, journal)
    classes: dict[str, Sequence[str]] = {}
    members = {member.name: member for member in generations.members()}
    asked = journal.history.joins.asked_at(journal.head)
    found: list[Json] = []
    for name, member in sorted(members.items()):
        for join in member.joins:
            if join.task in members and join.task not in classes:
                target = members[join.task]
                classes[join.task] = (generations.report(target.id, target.revision) or {})["classes"]
            found.append(
                {
                    "task": name,
                    "class": join.class_name,
                    "to_task": join.task,
                    "to_class": join.other,
                    "by": "alias" if Alias(member.id, join) in asked else "task.yaml",
                    "in_force": join.other in classes.get(join.task, ()),
                }
            )
    return found


def known_task(journal: Journal | None, name: str) -> None:
    """Raise UsageError, with a suggestion, if no task has this name."""
    names = {row.name for row in journal.tasks.all()} if journal else set()
    if name not in names:
        raise UsageError(f"there is no task {name!r}", remedy=did_you_mean(name, names, "`learnd tasks` lists them"))
