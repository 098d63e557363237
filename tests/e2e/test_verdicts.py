"""Every kind of broken folder, by the real commands: nothing crashes, everything is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from learnd.messages.task import TaskState
from tests.broken import BROKEN
from tests.e2e.conftest import MakeTask
from tests.live import LiveDaemon
from tests.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_once_learns_the_good_task_among_the_broken_and_exits_with_1(tmp_path: Path, make_task: MakeTask) -> None:
    live = LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1")
    for name, (maker, _) in BROKEN.items():
        maker(live.tasks / name)
    subprocess.run(["mv", make_task("good"), live.tasks], check=True)

    done = live.run("run", "--once", "--no-dashboard", timeout=PATIENCE)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    states = {row.name: row.state for row in live.rows()}
    assert states == {**dict.fromkeys(BROKEN, TaskState.REJECTED), "good": TaskState.LEARNED}
    for row in live.rows():
        assert row.state == TaskState.LEARNED or BROKEN[row.name][1] <= {problem.code for problem in row.problems}


@pytest.mark.parametrize("name", ["everything", "bomb", "pipe", "name-not-utf8"])
def test_check_says_the_same_without_a_daemon(name: str, tmp_path: Path) -> None:
    live = LiveDaemon(tmp_path / "home", "conv4")
    maker, codes = BROKEN[name]
    maker(tmp_path / name)
    done = live.run("check", tmp_path / name, "--json")
    assert done.returncode == 1
    assert codes <= {problem["code"] for problem in json.loads(done.stdout)["problems"]}


def test_once_does_not_hold_a_failure_against_a_folder_that_is_gone(tmp_path: Path, make_task: MakeTask) -> None:
    live = LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1")
    task = make_task("digits")
    (task / "task.yaml").write_text("algorithm: none_of_this_name\n")
    subprocess.run(["mv", task, live.tasks], check=True)
    assert live.run("run", "--once", "--no-dashboard").returncode == 1
    assert live.run("run", "--once", "--no-dashboard").returncode == 1  # it is there, and still not learnt

    shutil.rmtree(live.tasks / "digits")
    done = live.run("run", "--once", "--no-dashboard")
    assert done.returncode == 0, done.stderr
    assert [row.state for row in live.rows()] == [TaskState.FAILED]


def test_once_with_nothing_wrong_exits_with_0_and_a_second_time_learns_nothing_new(
    tmp_path: Path, make_task: MakeTask
) -> None:
    live = LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1")
    subprocess.run(["cp", "-r", make_task("digits"), live.tasks], check=True)
    assert live.run("run", "--once", "--no-dashboard").returncode == 0
    before = live.json("tasks")
    assert live.run("run", "--once", "--no-dashboard").returncode == 0
    assert live.json("tasks") == before
    assert os.listdir(live.tasks) == ["digits"]


def test_a_plugin_that_kills_its_process_is_named_and_costs_nobody_else_anything(
    tmp_path: Path, make_task: MakeTask
) -> None:
    live = LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1")
    (live.home / "plugins").mkdir()
    evil = live.home / "plugins" / "evil.py"
    evil.write_text("import os; os._exit(7)")
    subprocess.run(["cp", "-r", make_task("digits"), live.tasks], check=True)
    image = next(live.tasks.rglob("*.png"))
    done = live.run("plugins")
    assert "ended with exit code 7 while it imported the plugin evil" in done.stderr

    assert live.run("run", "--once", "--no-dashboard").returncode == 0
    (found,) = [plugin for plugin in live.json("plugins")["plugins"] if plugin["name"] == "evil"]
    assert (found["state"], found["source"]) == ("quarantined", str(evil))
    assert found["reason"] == "killed the worker while being imported: the worker ended with exit code 7"
    assert live.json("predict", image)["predictions"][0]["class"] == image.parent.name
