"""What plugins bring besides algorithms, by the real daemon and the real commands."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path

import pytest

from learnd.domain import TaskState
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
