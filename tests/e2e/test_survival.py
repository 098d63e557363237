"""What was learnt outlives the daemon, however it ends; what was begun is finished by the next one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from learnd.messages.task import TaskState
from tests.e2e.conftest import MakeTask
from tests.live import LiveDaemon
from tests.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# An algorithm that waits, at work, until a file appears; the file's name is its option.
PATIENT = '''
"""Waits for a file, then does what protonet does."""
import dataclasses, os, time
from typing import ClassVar
from learnd.learning.contract.algorithm import Bid
from learnd.learning.contract.hooks import hookimpl
from learnd_plugins.protonet import ProtoNet

@dataclasses.dataclass(frozen=True)
class Patient(ProtoNet):
    name: ClassVar[str] = "patient"
    summary: ClassVar[str] = "waits for a file"
    go: str = ""

    def bid(self, task):
        return Bid(0.0, "only where it is asked for", 0.0)

    def fit(self, features, labels, ways, ctx):
        with open(self.go + ".begun", "w"):
            pass
        while not os.path.exists(self.go):
            time.sleep(0.01)
        return super().fit(features, labels, ways, ctx)

@hookimpl
def learnd_algorithms():
    return [Patient]
'''


@pytest.fixture
def live(tmp_path: Path) -> LiveDaemon:
    """A home whose tasks wait, in the worker, until `go` is called."""
    home = tmp_path / "home"
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "patient.py").write_text(PATIENT)
    settings = {"watch__quiet_seconds": "0.3", "plugins__patient__go": str(home / "go"), "worker__retry_seconds": "0"}
    settings["routing__budget_seconds"] = "1"
    return LiveDaemon(home, "conv4", **settings)


def begun(live: LiveDaemon) -> Path:
    return live.home / "go.begun"


def drop_pinned(live: LiveDaemon, folder: Path) -> None:
    (folder / "task.yaml").write_text("algorithm: patient\n")
    subprocess.run(["mv", folder, live.tasks], check=True)


def test_sigterm_ends_it_cleanly_and_the_next_one_still_knows(
    live: LiveDaemon, make_task: MakeTask, digits: Path
) -> None:
    images = sorted((digits / "held-out").rglob("*.png"))
    with live:
        live.start_warm()
        subprocess.run(["mv", make_task("digits", 0, 8), live.tasks], check=True)
        live.wait_learned(["digits"])
        before = live.json("predict", *images)
        assert live.stop() == 0
        assert live.json("status")["daemon"]["state"] == "stopped"
        assert live.json("predict", *images) == before  # nobody needs to run for an answer
        live.start_warm()
        assert live.json("predict", *images) == before
        assert [row.revision for row in live.rows()] == [1]


def test_a_job_that_ran_when_the_daemon_was_killed_is_done_by_the_next_one(
    live: LiveDaemon, make_task: MakeTask
) -> None:
    with live:
        live.start_warm()
        drop_pinned(live, make_task("digits"))
        live.wait("the job is running", begun(live).exists)
        live.kill()
        assert [row.state for row in live.rows()] == [TaskState.RUNNING]
        (live.home / "go").touch()
        live.start()
        live.wait_learned(["digits"])
        assert live.json("status")["knowledge"]["version"] == 1
        live.stop()
        assert list((live.state / "work").iterdir()) == []


def test_no_worker_outlives_a_killed_daemon(live: LiveDaemon, make_task: MakeTask) -> None:
    with live:
        live.start_warm()
        drop_pinned(live, make_task("digits"))
        live.wait("the job is running", begun(live).exists)
        journal = live.journal()
        assert journal is not None
        (worker,) = journal.workers()
        assert worker.hello is not None
        pid = worker.hello.pid
        live.kill()
        live.process = None
        live.wait("the worker is gone", lambda: not _is_alive(pid), timeout=PATIENCE)


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_worker_that_dies_is_replaced_and_its_job_tried_again(live: LiveDaemon, make_task: MakeTask) -> None:
    with live:
        live.start_warm()
        drop_pinned(live, make_task("digits"))
        live.wait("the job is running", begun(live).exists)
        journal = live.journal()
        assert journal is not None
        (worker,) = journal.workers()
        assert worker.hello is not None
        (live.home / "go").touch()
        os.kill(worker.hello.pid, signal.SIGKILL)
        live.wait_learned(["digits"])
        outcomes = [row["outcome"] for row in journal.db.all("SELECT outcome FROM attempts ORDER BY epoch")]
        assert outcomes[-1] == "done"


def test_a_job_that_always_overruns_fails_with_the_reason_and_the_others_go_on(
    live: LiveDaemon, make_task: MakeTask
) -> None:
    live.environment |= {"LEARND_WORKER__JOB_SECONDS": "1.5", "LEARND_WORKER__ATTEMPTS": "2"}
    with live:
        live.start_warm()
        drop_pinned(live, make_task("stuck"))
        row = live.wait_state("stuck", TaskState.FAILED)
        assert "overran" in row.reason
        subprocess.run(["mv", make_task("fine", 5), live.tasks], check=True)
        live.wait_learned(["fine"])


def test_a_task_that_is_skipped_while_it_runs_is_let_go_and_can_be_taken_up_again(
    live: LiveDaemon, make_task: MakeTask
) -> None:
    with live:
        live.start_warm()
        drop_pinned(live, make_task("digits"))
        live.wait("the job is running", begun(live).exists)
        assert live.run("skip", "digits").returncode == 0
        live.wait("the worker is free", live.warm)
        assert [row.state for row in live.rows()] == [TaskState.SKIPPED]
        (live.home / "go").touch()
        assert live.run("retry", "digits").returncode == 0
        live.wait_learned(["digits"])


def test_a_second_daemon_on_the_same_state_is_told_who_holds_it(live: LiveDaemon) -> None:
    with live:
        live.start_warm()
        assert live.process is not None
        second = live.run("run", "--once", "--no-dashboard")
        assert second.returncode == 3
        assert f"process {live.process.pid}" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_state_made_with_another_backbone_is_refused(live: LiveDaemon, make_task: MakeTask) -> None:
    with live:
        live.start_warm()
        live.wait("the backbone is kept", lambda: list((live.state / "backbones").glob("*.safetensors")))
        live.stop()
        live.environment["LEARND_BACKBONE"] = "lite0"
        done = live.run("run", "--once", "--no-dashboard")
        assert done.returncode == 3
        assert "made with backbone 'conv4'" in done.stderr


def test_a_broken_plugin_is_quarantined_and_the_rest_runs_on(live: LiveDaemon, make_task: MakeTask) -> None:
    (live.home / "plugins" / "broken.py").write_text("import nothing_of_this_name\n")
    with live:
        live.start_warm()
        plugins = {plugin["name"]: plugin for plugin in live.json("status")["plugins"]}
        assert plugins["broken"]["state"] == "quarantined"
        assert "nothing_of_this_name" in plugins["broken"]["reason"]
        assert plugins["protonet"]["state"] == "ok"
        shutil.move(make_task("digits"), live.tasks)
        live.wait_learned(["digits"])
