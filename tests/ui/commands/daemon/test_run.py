"""`init` and `examples` write what is missing, and nothing over anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.messages.task import TaskState
from learnd.settings.template import template
from learnd.ui.examples.bundled import EXAMPLES
from tests.ui.conftest import Command


def test_init_writes_every_key_and_makes_the_folders(home: Path, learnd: Command) -> None:
    assert learnd("init", "new").code == 0

    assert (home / "new" / "config.yaml").read_text() == template()
    assert (home / "new" / "tasks").is_dir()
    assert (home / "new" / "state").is_dir()
    assert learnd("config", "validate", "--config", "new/config.yaml").code == 0


def test_init_leaves_a_config_as_it_is_and_makes_the_folders_it_names(home: Path, learnd: Command) -> None:
    (home / "config.yaml").write_text("tasks: inbox\n")

    said = learnd("init")

    assert said.code == 0
    assert "left as it is" in said.err
    assert (home / "config.yaml").read_text() == "tasks: inbox\n"
    assert (home / "inbox").is_dir()
    assert not (home / "tasks").exists()


def test_init_again_changes_nothing(home: Path, learnd: Command) -> None:
    learnd("init")
    (home / "tasks" / "mine").mkdir()

    assert learnd("init").code == 0
    assert (home / "tasks" / "mine").is_dir()


def test_examples_are_listed(learnd: Command) -> None:
    assert [row["name"] for row in learnd("examples", "--json").json["examples"]] == list(EXAMPLES)
    assert all(name in learnd("examples").out for name in EXAMPLES)


def test_an_example_is_written_under_its_name_with_others_to_ask_about(home: Path, learnd: Command) -> None:
    assert learnd("examples", "digits-0-4", "tasks", "--held-out", "new").code == 0

    assert len(list((home / "tasks" / "digits-0-4").glob("*/*.png"))) == 60
    assert len(list((home / "new" / "digits-0-4").glob("*/*.png"))) == 20
    assert learnd("check", "tasks/digits-0-4").code == 0


def test_a_script_is_told_where_an_example_is(home: Path, learnd: Command) -> None:
    said = learnd("examples", "digits-0-4", "tasks", "--held-out", "new", "--json").json
    assert said == {
        "schema": 1, "example": "digits-0-4", "folder": "tasks/digits-0-4", "images": 60, "held_out": "new/digits-0-4",
    }  # fmt: skip
    assert learnd("examples", "digits-5-9", "tasks", "--json").json["held_out"] is None


def test_an_example_without_a_place_is_wrong_usage(learnd: Command) -> None:
    said = learnd("examples", "photos")

    assert said.code == 2
    assert "learnd examples photos tasks" in said.err


def test_an_example_that_there_is_not_is_wrong_usage(learnd: Command) -> None:
    said = learnd("examples", "phtos", "tasks")

    assert said.code == 2
    assert "did you mean 'photos'?" in said.err


def test_an_example_is_not_put_over_anything(home: Path, learnd: Command) -> None:
    (home / "tasks" / "photos").mkdir(parents=True)

    said = learnd("examples", "photos", "tasks")

    assert said.code == 1
    assert "something is here already" in said.err


@pytest.mark.parametrize("closed", ["its reader is gone", "from the beginning"])
def test_a_daemon_goes_on_when_nobody_reads_its_lines(home: Path, closed: str) -> None:
    for name in ("cats", "dogs"):
        (home / "tasks" / name).mkdir(parents=True)
    command = [sys.executable, "-m", "learnd", "run", "--once", "--no-dashboard", "--backbone", "conv4"]
    if closed == "from the beginning":
        command = ["sh", "-c", 'exec "$0" "$@" 2>&-', *command]
    reader, stderr = os.pipe()
    os.close(reader)
    code = subprocess.run(command, env={**os.environ, "LEARND_WATCH__QUIET_SECONDS": "0"}, stderr=stderr).returncode
    os.close(stderr)

    journal = Journal(home / "state" / JOURNAL)
    states = [row.state for row in journal.tasks.all()]
    journal.close()
    assert (code, states) == (1, [TaskState.REJECTED, TaskState.REJECTED])
