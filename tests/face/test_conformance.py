"""`learnd plugins check` and `new`: a plugin that crashes or hangs fails its check, and never takes the asker along."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.face.conftest import Command

pytestmark = pytest.mark.slow  # the kit is a process that imports torch

FAULTY = '''
import os, time
from dataclasses import dataclass
from typing import ClassVar
import torch
from learnd.learning.algorithm import Bid, HeadAlgorithm
from learnd.learning.hooks import hookimpl

@dataclass(frozen=True)
class Faulty(HeadAlgorithm):
    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "ends the process on one-shot tasks, and hangs on many classes"

    def bid(self, task):
        return Bid(2.0 if task.images == 2 else 0.5, "here", 0.001)

    def fit(self, features, labels, ways, ctx):
        if len(labels) == ways:
            os.abort()
        if ways == 50:
            time.sleep(3600)
        return {"means": torch.stack([features[labels == k].mean(0) for k in range(ways)])}

    def score(self, state, features):
        return -torch.cdist(features, state["means"])

@hookimpl
def learnd_algorithms():
    return [Faulty]
'''


def test_a_plugin_that_crashes_or_hangs_has_failed_that_check_alone(learnd: Command, home: Path) -> None:
    (home / "faulty.py").write_text(FAULTY)
    said = learnd("plugins", "check", "faulty.py", "--seconds", "25", "--json")
    assert said.code == 1
    assert not said.json["passed"]
    failed = {row["check"]: row["seen"] for row in said.json["checks"] if row["outcome"] == "failed"}
    assert set(failed) == {"bid", "one-shot", "many-ways"}
    assert "SIGABRT" in failed["one-shot"]
    assert failed["many-ways"] == "the check took more than 25 s"
    assert "the score is 2.0" in failed["bid"]
    assert all(row["promise"] for row in said.json["checks"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import os; os.abort()", "to import it ended the process, which was killed by SIGABRT"),
        ("def oops(:", "SyntaxError"),
        ("x = 1", "implements no hook"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_reported_as_quarantined(
    text: str, reason: str, learnd: Command, home: Path
) -> None:
    (home / "broken.py").write_text(text)
    said = learnd("plugins", "check", "broken.py", "--json")
    assert said.code == 1
    (plugin,) = said.json["plugins"]
    assert (plugin["name"], plugin["state"]) == ("broken", "quarantined")
    assert reason in plugin["reason"]
    assert said.json["checks"] == []


def test_what_is_not_there_is_wrong_usage(learnd: Command, home: Path) -> None:
    assert learnd("plugins", "check", "nowhere.py").code == 2
    unknown = learnd("plugins", "check", "rigde")
    assert unknown.code == 2
    assert "Did you mean 'ridge'?" in unknown.err


@pytest.mark.parametrize("flags", [[], ["--meta"]])
def test_a_new_plugin_keeps_every_promise(flags: list[str], learnd: Command, home: Path) -> None:
    assert learnd("plugins", "new", "my_own", *flags).code == 0
    said = learnd("plugins", "check", "plugins/my_own.py")
    assert said.code == 0, said.out
    assert "passed  my_own another-process" in said.out
    assert "it keeps every promise" in said.out


def test_a_new_plugin_overwrites_nothing_and_has_a_fit_name(learnd: Command, home: Path) -> None:
    (home / "plugins").mkdir()
    (home / "plugins" / "mine.py").write_text("precious")
    said = learnd("plugins", "new", "mine")
    assert said.code == 1
    assert "it is there already" in said.err
    assert (home / "plugins" / "mine.py").read_text() == "precious"
    for name in ("Mine", "two words", "../up", "class", ""):
        assert learnd("plugins", "new", name).code == 2
    assert [path.name for path in (home / "plugins").iterdir()] == ["mine.py"]
