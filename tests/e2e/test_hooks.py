"""What plugins bring besides algorithms, by the real daemon and the real commands."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path

import pytest

from learnd.messages.task import TaskState
from tests.e2e.conftest import MakeTask
from tests.live import LiveDaemon
from tests.plugins.manual import example

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def tone(path: Path, hertz: float, rate: int = 8000) -> None:
    """Half a second of a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = [int(12000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(rate // 2)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def tones(folder: Path, first: int = 0, count: int = 5) -> Path:
    for name, lowest in (("low", 200), ("middle", 900), ("high", 2500)):
        for number in range(first, first + count):
            tone(folder / name / f"{number}.wav", lowest + 11 * number)
    return folder


def test_sounds_are_learnt_and_told_apart_with_the_plugin_of_the_manual(tmp_path: Path) -> None:
    live = LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1")
    tones(live.tasks / "tones")
    assert live.run("run", "--once", "--no-dashboard").returncode == 1
    assert [row.state for row in live.rows()] == [TaskState.REJECTED]

    (live.home / "plugins").mkdir()
    (live.home / "plugins" / "sounds.py").write_text(example("spectrogram"))
    done = live.run("run", "--once", "--no-dashboard")
    assert [row.state for row in live.rows()] == [TaskState.LEARNED], done.stderr
    assert live.json("check", live.tasks / "tones")["valid"]

    asked = tones(tmp_path / "asked", first=5, count=2)
    predictions = live.json("predict", asked)["predictions"]
    assert len(predictions) == 6
    for one in predictions:
        assert one["class"] == Path(one["image"]).parent.name


OBSERVER = """
import os
from learnd.learning.contract.hooks import hookimpl

@hookimpl
def learnd_event(event):
    if {condition}:
        {action}
    with open(__file__ + ".log", "a") as log:
        print(event.kind, event.task, file=log)
"""


def test_observers_hear_of_everything_and_disturb_nothing(tmp_path: Path, make_task: MakeTask) -> None:
    live = LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3", routing__budget_seconds="1")
    plugins = live.home / "plugins"
    plugins.mkdir()
    for name, condition, action in (
        ("a_raises", "event.kind == 'queued'", "raise KeyError('out of ideas')"),
        ("b_kills", "event.kind == 'learned'", "os._exit(7)"),
        ("c_good", "False", "pass"),
    ):
        (plugins / f"{name}.py").write_text(OBSERVER.format(condition=condition, action=action))
    make_task("digits").rename(live.tasks / "digits")

    done = live.run("run", "--once", "--no-dashboard")
    assert done.returncode == 0
    assert "plugin a_raises" in done.stderr
    assert "its learnd_event raised KeyError: 'out of ideas'" in done.stderr
    assert "plugin b_kills" in done.stderr
    assert (plugins / "a_raises.py.log").read_text().splitlines() == ["learned digits", "strike None"]
    assert (plugins / "b_kills.py.log").read_text().splitlines() == ["queued digits"]
    assert (plugins / "c_good.py.log").read_text().splitlines() == ["queued digits", "strike None"]


def test_a_plugins_network_learns_and_answers_from_the_states_own_copy(tmp_path: Path, make_task: MakeTask) -> None:
    """The network of the manual has random weights: another process has the same only by the copy."""
    live = LiveDaemon(tmp_path / "home", "plugin:my_net", watch__quiet_seconds="0.3", routing__budget_seconds="1")
    (live.home / "plugins").mkdir()
    (live.home / "plugins" / "nets.py").write_text(example("my_net"))
    make_task("digits").rename(live.tasks / "digits")
    done = live.run("run", "--once", "--no-dashboard")
    assert done.returncode == 0, done.stderr
    assert live.json("status")["knowledge"]["backbone"] == "plugin:my_net"
    image = next(live.tasks.rglob("*.png"))
    assert live.json("predict", image)["predictions"][0]["task"] == "digits"
