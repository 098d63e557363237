"""`status`, `tasks` and `show`: the JSON is that of the design, key by key, and people read the same."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learnd.control.files.lock import hold
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.knowledge.image_budget import Budget
from learnd.identity import label
from learnd.messages.report import AdapterScore
from learnd.messages.task import TaskState
from learnd.messages.worker import WorkerState
from learnd.ui.views import text_output
from tests.control.rights import Unprivileged
from tests.ui.conftest import Command, learn, lease, mark, queue

COUNTS = {"waiting", "queued", "running", "learned", "failed", "rejected", "duplicate"}
TASK = {"name", "id", "revision", "state", "reason", "ways", "images", "algorithm", "accuracy", "accuracy_ci"}
TASK |= {"seconds", "version"}


def test_status_without_a_state_is_stopped_and_zero(learnd: Command, home: Path) -> None:
    data = learnd("status", "--json").json

    assert data["schema"] == 1
    assert data["daemon"] == {"state": "stopped", "pid": None}
    assert data["watching"] == {"path": str(home / "tasks"), "backend": data["watching"]["backend"]}
    assert data["watching"]["backend"] in ("inotify", "polling")
    assert data["counts"].keys() >= COUNTS
    assert set(data["counts"].values()) == {0}
    assert data["knowledge"] == {"version": 0, "classes": 0, "tasks": 0, "bytes": 0, "backbone": "lite0-meta"}
    assert data["devices"] == data["plugins"] == []
    assert not (home / "state").exists()
    assert "nothing learnt yet" in learnd("status").out


def test_a_state_that_nobody_can_write_is_read_like_any_other(
    learnd: Command, state: Path, unprivileged: Unprivileged, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [("status", "--json"), ("tasks", "--json"), ("show", "birds", "--json")]
    place = unprivileged.place / "state"
    shutil.copytree(state, place)
    with hold(place):
        pass  # as a daemon has left it
    for path in (place, *place.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.chdir(unprivileged.place)
    before = [learnd(*command, "--state", state).json for command in commands]
    with unprivileged:
        said = [learnd(*command, "--state", place) for command in commands]
        assert [(one.code, one.err) for one in said] == [(0, "")] * 3
        assert [one.json for one in said] == before
        said = learnd("retry", "bugs", "--state", place)
    assert said.code == 1
    assert "the journal cannot be read or written now (attempt to write a readonly database)" in said.err


def test_status_of_a_state(learnd: Command, state: Path) -> None:
    data = learnd("status", "--json").json

    counts = {name: count for name, count in data["counts"].items() if count}
    assert counts == dict.fromkeys(counts, 1)
    assert set(counts) == {"waiting", "queued", "running", "failed", "rejected", "duplicate", "skipped"}
    size = sum(path.stat().st_size for path in state.glob("tasks/*/*/*"))
    assert data["knowledge"] == {"version": 1, "classes": 5, "tasks": 1, "bytes": size, "backbone": "conv4"}
    assert [set(plugin) >= {"name", "source", "state", "reason"} for plugin in data["plugins"]] == [True, True]
    assert data["plugins"][1]["state"] == "quarantined"
    text = learnd("status").out
    assert "version 1: 5 classes of 1 task, 1.5 MB, backbone conv4" in text
    assert "mine is quarantined: SyntaxError: never closed" in text


def test_status_says_of_a_lost_worker_that_the_next_one_waits(learnd: Command, state: Path) -> None:
    journal = Journal(state / JOURNAL)
    journal.jobs.recover()
    journal.set_worker("cpu:0", WorkerState.RESTARTING)
    journal.close()
    with hold(state):
        assert learnd("status", "--json").json["devices"][0]["state"] == "restarting"
        assert "restarting: its worker died; a new one starts" in learnd("status").out


def test_status_of_a_daemon_that_runs_names_it_and_what_each_device_does(learnd: Command, state: Path) -> None:
    with hold(state):
        data = learnd("status", "--json").json
        text = learnd("status").out

    assert data["daemon"]["state"] == "running"
    assert isinstance(data["daemon"]["pid"], int)
    device = data["devices"][0]
    assert (device["name"], device["busy"], device["task"]) == ("cpu:0", True, "now")
    assert "cpu:0      learning now" in text


def test_after_a_kill_no_device_is_busy(learnd: Command, state: Path) -> None:
    device = learnd("status", "--json").json["devices"][0]

    assert (device["busy"], device["task"], device["state"]) == (False, None, "stopped")


def test_status_reads_while_another_process_writes(learnd: Command, state: Path) -> None:
    journal = Journal(state / JOURNAL)
    with journal.db.transaction():  # holds the write lock
        assert learnd("status").code == 0
        assert learnd("tasks").code == 0
    journal.close()


def test_tasks_lists_every_revision(learnd: Command, state: Path) -> None:
    data = learnd("tasks", "--json").json

    assert data["schema"] == 1
    assert all(row.keys() >= TASK for row in data["tasks"])
    found = {(row["name"], row["revision"]): row for row in data["tasks"]}
    assert {key: row["state"] for key, row in found.items()} == {
        ("bad", 1): "rejected",
        ("birds", 1): "learned",
        ("birds", 2): "skipped",
        ("bugs", 1): "failed",
        ("grows", 1): "waiting",
        ("next", 1): "queued",
        ("now", 1): "running",
        ("twin", 1): "duplicate",
    }
    birds = found["birds", 1]
    assert (birds["ways"], birds["images"], birds["algorithm"], birds["version"]) == (5, 75, "ridge", 1)
    assert (birds["accuracy"], birds["accuracy_ci"], birds["seconds"]) == (0.97, [0.93, 0.99], 0.41)
    assert (birds["newest"], found["birds", 2]["newest"]) == (False, True)
    waiting = found["grows", 1]
    assert (waiting["reason"], waiting["accuracy"], waiting["accuracy_ci"]) == ("still growing: 3 files", None, None)


def test_tasks_without_a_state_are_none(learnd: Command) -> None:
    assert learnd("tasks", "--json").json == {"schema": 1, "tasks": []}
    said = learnd("tasks")
    assert said.out == ""
    assert "no task yet" in said.err


def test_tasks_are_one_line_each_in_a_pipe(learnd: Command, state: Path) -> None:
    lines = learnd("tasks").out.splitlines()

    assert len(lines) == 1 + 8
    assert lines[1].split(maxsplit=4) == ["bad", "rejected", "1", "0", "'cats' is the only class"]
    assert all(line == line.rstrip() for line in lines)


def test_show_tells_of_every_revision_with_its_candidates(learnd: Command, state: Path) -> None:
    data = learnd("show", "birds", "--json").json

    assert (data["schema"], data["name"]) == (1, "birds")
    first, second = data["revisions"]
    assert first["report"]["candidates"][0]["algorithm"] == "ridge"
    assert second["report"] is None
    assert [event["kind"] for event in data["events"]] == ["queued", "learned", "queued", "skipped"]
    text = learnd("show", "birds").out
    assert "birds, revision 1: learned" in text
    assert "accuracy 0.970, 95 % interval 0.930 to 0.990 (cross-validation, 75 images)" in text
    assert re.search("finetune +0.50 +over budget +many images", text)


def test_show_tells_what_is_wrong_with_a_folder_and_how_to_mend_it(learnd: Command, state: Path) -> None:
    text = learnd("show", "bad").out

    assert "error [one-class] 'cats' is the only class" in text
    assert "-> add another class" in text
    assert learnd("show", "bad", "--json").json["revisions"][0]["problems"][0]["code"] == "one-class"


def test_a_reason_with_a_remedy_is_one_line(learnd: Command, home: Path) -> None:
    (home / "state").mkdir()
    journal = Journal(home / "state" / JOURNAL, create=True)
    queue(journal, "birds")
    journal.jobs.give_up(lease(journal), "failed", "there is no algorithm 'rigde'\n  -> did you mean 'ridge'?")
    journal.close()

    for text in (learnd("tasks").out, learnd("show", "birds").out):
        assert "there is no algorithm 'rigde' -> did you mean 'ridge'?" in text


def test_show_ends_a_failure_with_the_log_of_its_worker(learnd: Command, state: Path) -> None:
    text = learnd("show", "bugs").out

    assert "the worker was killed by SIGKILL (3 attempts)" in text
    assert "out of memory" in text


@pytest.mark.parametrize("command", ["show", "retry", "skip"])
def test_a_mistyped_task_is_recognised(command: str, learnd: Command, state: Path) -> None:
    said = learnd(command, "brids")

    assert said.code == 2
    assert "there is no task 'brids'\n  -> did you mean 'birds'?" in said.err


def test_show_says_what_the_task_yaml_says_for_people(learnd: Command, home: Path) -> None:
    (home / "state").mkdir()
    journal = Journal(home / "state" / JOURNAL, create=True)
    learn(journal, home / "state", "birds", domain="garden", description="of an autumn")
    journal.close()

    assert "  domain: garden\n  description: of an autumn\n" in learnd("show", "birds").out
    text_output = learnd("show", "birds", "--json").json["revisions"][0]["report"]
    assert (text_output["domain"], text_output["description"]) == ("garden", "of an autumn")


def test_show_says_which_adapter_of_the_backbone_was_chosen_and_why(learnd: Command, home: Path) -> None:
    (home / "state").mkdir()
    journal = Journal(home / "state" / JOURNAL, create=True)
    measured = (AdapterScore("identity", 50, 75), AdapterScore("glyphs", 74, 75, near=0.96))
    learn(journal, home / "state", "birds", adapter="glyphs", adapters=measured)
    learn(journal, home / "state", "bees")
    journal.close()

    said = "  adapter: glyphs (identity 50 of 75; glyphs 74 of 75; 96% looks like glyphs)\n"
    assert said in learnd("show", "birds").out
    assert "adapter" not in learnd("show", "bees").out
    assert learnd("show", "birds", "--json").json["revisions"][0]["report"]["adapter"] == "glyphs"


@pytest.mark.parametrize("victim", ["tasks/*/*/report.json", "generations/*/manifest.json"])
def test_a_damaged_report_is_named_and_not_shown(victim: str, learnd: Command, state: Path) -> None:
    (path,) = state.glob(victim)
    path.write_bytes(path.read_bytes().replace(b"cross", b"query").replace(b"birds", b"words"))

    said = learnd("show", "birds", "--json")

    assert (said.code, said.out) == (3, "")
    assert f"{path}: is not what was committed" in said.err


@pytest.mark.parametrize(
    "name", ["\u9ce5\u3000\u56f3\u9451", "Bl\xe4tter\xa01", "\U0001f468\u200d\U0001f33e", "caf\udce9", "a\tb"]
)
def test_a_task_of_any_name_is_asked_for_by_it_and_by_what_is_shown(name: str, learnd: Command, home: Path) -> None:
    (home / "state").mkdir()
    journal = Journal(home / "state" / JOURNAL, create=True)
    mark(journal, label(name), TaskState.REJECTED, "of no use")
    journal.close()

    (row,) = learnd("tasks", "--json").json["tasks"]
    assert label(name) in learnd("tasks").out
    for asked in (name, row["name"]):
        assert learnd("show", asked, "--json").json["id"] == row["id"]
        assert learnd("skip", asked).code == 0
        assert learnd("retry", asked).code == 0


def test_a_name_cannot_steer_the_terminal(learnd: Command, home: Path) -> None:
    folder = home / "state"
    folder.mkdir()
    journal = Journal(folder / JOURNAL, create=True)
    learn(journal, folder, "evil\x1b[2J")
    journal.close()

    assert "evil\\x1b[2J" in learnd("tasks").out
    assert "\x1b" not in learnd("show", "evil\x1b[2J").out
    assert json.loads(learnd("tasks", "--json").out)["tasks"][0]["name"] == "evil\x1b[2J"


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"a": 4, "b": 4}, "8 of 40 images kept (4 a class)"),
        ({"a": 4, "b": 3}, "7 of 40 images kept (a 4, b 3)"),
        ({f"c{n}": 4 + n % 2 for n in range(20)}, "90 of 40 images kept (4 to 5 a class)"),
        ({"a": 0, "b": 0}, "0 of 40 images kept"),
    ],
)
def test_kept_images_are_counted_by_class_where_classes_differ(classes: dict[str, int], said: str) -> None:
    kept = {"exemplars": sum(classes.values()), "held_out": 0, "evicted": 0, "classes": classes}
    assert text_output._kept_line({"kept": kept, "report": {"images": 40}}) == said


def test_show_says_how_many_images_are_kept(learnd: Command, state: Path) -> None:
    def learnt() -> Any:
        return next(row for row in learnd("show", "birds", "--json").json["revisions"] if row["report"])

    assert learnt()["kept"] is None  # nobody has counted yet
    with closing(Journal(state / JOURNAL)) as journal:
        budget = Budget(journal, state / "tasks", 0, lambda *_: None)
        budget.tick()
        whole = learnt()
        assert whole["kept"]["evicted"] == 0
        assert f"{whole['kept']['exemplars']} of {whole['report']['images']} images kept" in learnd("show", "birds").out
        Budget(journal, state / "tasks", 1, lambda *_: None).tick()
    kept = learnt()["kept"]
    assert kept["exemplars"] == kept["held_out"] == sum(kept["classes"].values()) == 0
    assert kept["evicted"] == sum(whole["kept"]["classes"].values()) == whole["kept"]["exemplars"]
    assert f"{kept['evicted']} had to go for memory.max_bytes" in learnd("show", "birds").out
