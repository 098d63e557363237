"""The helper that gives tests their real images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data import alphabets, class_task, missing_reason, omniglot_task, requires_data


@requires_data("omniglot")
def test_an_omniglot_task_keeps_its_shots_and_returns_the_other_drawings(tmp_path: Path) -> None:
    held_out = omniglot_task(tmp_path / "tasks" / "Angelic", "Angelic", ways=5, shots=4)

    inside = sorted((tmp_path / "tasks" / "Angelic").glob("*/*.png"))
    assert len(inside) == 5 * 4
    assert len(held_out) == 5 * 16  # twenty people drew every character
    assert {path.parent.name for path in held_out} == {path.parent.name for path in inside}
    assert not {path.name for path in held_out} & {path.name for path in inside}
    assert len(alphabets()) == 20


@requires_data("eurosat")
def test_a_photograph_task_is_made_the_same_way(tmp_path: Path) -> None:
    held_out = class_task(tmp_path / "land", "eurosat", ways=2, shots=3)

    assert len(list((tmp_path / "land").glob("*/*.jpg"))) == 6
    assert len(held_out) == 2 * 147


def test_absent_data_gives_a_reason_that_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARND_DATA", str(tmp_path))

    reason = missing_reason("omniglot")

    assert reason == "omniglot is missing: LEARND_DATA has no omniglot/images_evaluation.zip"
    assert requires_data("omniglot", "eurosat").args == (True,)
