"""Plugins that come, change and go while the real daemon runs: it is never started again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learnd.messages.task import TaskState
from tests.e2e.conftest import MakeTask
from tests.live import LiveDaemon
from tests.patience import PATIENCE
from tests.plugins.manual import example

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NEIGHBOUR = example('name: ClassVar[str] = "neighbour"')
OBSERVER = """
from learnd.learning.contract.hooks import hookimpl

@hookimpl
def learnd_event(event):
    with open(__file__ + ".log", "a") as log:
        print(event.kind, event.task, file=log)
"""


def renamed(file: Path) -> None:
    """As a careful editor writes it."""
    aside = file.with_name(".new")
    aside.write_text(NEIGHBOUR)
    aside.rename(file)


def written(file: Path) -> None:
    """As `cp` does on a slow day: half of it is there for so long that it is found."""
    file.write_text(NEIGHBOUR[: len(NEIGHBOUR) // 2])


@pytest.mark.parametrize("drop", [renamed, written])
def test_the_plugin_of_the_manual_is_loaded_and_learns_while_the_daemon_runs(
    drop: Callable[[Path], None], tmp_path: Path, make_task: MakeTask
) -> None:
    with LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1") as live:
        file = live.home / "plugins" / "neighbour.py"
        live.start_warm()
        assert entry(live, "neighbour") is None
        file.parent.mkdir()
        drop(file)
        if drop is written:
            live.wait("half a file is quarantined", lambda: state_of(live, "neighbour") == "quarantined")
            file.write_text(NEIGHBOUR)
        live.wait("the plugin is ok", lambda: state_of(live, "neighbour") == "ok")
        listed = {one["name"]: one for one in live.json("plugins", "list")["plugins"]}
        assert listed["neighbour"].items() >= {"state": "ok", "source": str(file), "reason": ""}.items()
        assert listed["ridge"]["state"] == "ok"

        pinned = make_task("digits")
        (pinned / "task.yaml").write_text("algorithm: neighbour\n")
        pinned.rename(live.tasks / "digits")
        assert live.wait_state("digits", TaskState.LEARNED).algorithm == "neighbour"

        file.write_text(NEIGHBOUR.replace("def learnd_algorithms", "def learnd_algorithm"))
        live.wait("the plugin is quarantined", lambda: state_of(live, "neighbour") == "quarantined")
        (shown,) = [one for one in live.json("plugins", "list")["plugins"] if one["name"] == "neighbour"]
        assert "learnd has no hook 'learnd_algorithm'" in shown["reason"]
        file.unlink()
        live.wait("the plugin is gone", lambda: entry(live, "neighbour") is None)
        make_task("others", first=5).rename(live.tasks / "others")
        live.wait_state("others", TaskState.LEARNED)
        assert live.stop() == 0


def test_a_plugin_that_ends_the_worker_is_kept_away_and_an_observer_hears_what_follows(
    tmp_path: Path, make_task: MakeTask
) -> None:
    with LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1") as live:
        plugins = live.home / "plugins"
        plugins.mkdir()
        live.start_warm()
        (plugins / "ear.py").write_text(OBSERVER)
        (plugins / "evil.py").write_text("import os; os._exit(7)")
        make_task("digits").rename(live.tasks / "digits")
        live.wait_state("digits", TaskState.LEARNED)
        live.wait("the culprit is named", lambda: state_of(live, "evil") == "quarantined")
        log = plugins / "ear.py.log"
        live.wait("the observer has heard", lambda: log.exists() and "learned digits" in log.read_text())
        assert "killed the worker while being imported" in entry(live, "evil")["reason"]
        assert live.stop() == 0


WILD = """
import os
from dataclasses import dataclass
from typing import ClassVar
from learnd.learning.contract.algorithm import Bid
from learnd.learning.contract.hooks import hookimpl
from learnd_plugins.protonet import ProtoNet

@dataclass(frozen=True)
class Wild(ProtoNet):
    name: ClassVar[str] = "wild"
    summary: ClassVar[str] = "crashes, as native code does"

    def bid(self, task):
        return Bid(1.0, "trust me", 0.0)

    def fit(self, features, labels, ways, ctx):
        os.abort()

@hookimpl
def learnd_algorithms():
    return [Wild]
"""


def test_a_task_at_which_an_algorithm_ends_the_worker_is_learnt_by_another(tmp_path: Path, make_task: MakeTask) -> None:
    flags = {"watch__quiet_seconds": "0.3", "routing__budget_seconds": "1", "worker__retry_seconds": "0"}
    with LiveDaemon(tmp_path / "home", "conv4", worker__attempts="2", **flags) as live:
        (live.home / "plugins").mkdir()
        (live.home / "plugins" / "crashes.py").write_text(WILD)
        make_task("digits").rename(live.tasks / "digits")
        live.start()
        live.wait_state("digits", TaskState.LEARNED, timeout=PATIENCE)
        shown = live.json("show", "digits")
        (wild,) = [one for one in shown["revisions"][0]["report"]["candidates"] if one["algorithm"] == "wild"]
        assert (wild["outcome"], wild["reason"]) == ("failed", "was at work when an earlier attempt lost its worker")
        (told,) = [event["message"] for event in shown["events"] if event["kind"] == "requeued"]
        assert "was killed by SIGABRT, at: route wild" in told
        assert live.stop() == 0


def entry(live: LiveDaemon, name: str) -> Any:
    """What the journal says of a plugin, as JSON data; None where it is unknown."""
    journal = live.journal()
    assert journal is not None
    found = [vars(plugin) for plugin in journal.plugins() if plugin.name == name]
    journal.close()
    return found[0] if found else None


def state_of(live: LiveDaemon, name: str) -> str | None:
    found = entry(live, name)
    return None if found is None else found["state"]
