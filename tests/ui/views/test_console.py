"""Colours on a terminal or on request, and the same words without them."""

from __future__ import annotations

import io
import os
import sys

import pytest

from learnd.ui.dashboard.app import can_draw
from learnd.ui.views import console


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    console.show(console.coloured("failed"))
    return capsys.readouterr().out


def test_without_a_terminal_words_have_no_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert shown(capsys) == "failed\n"


def test_force_color_works_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31mfailed" in shown(capsys)


def test_no_color_overrides_force_color(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in shown(capsys)


@pytest.mark.parametrize("terminal", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_no_dashboard(
    terminal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.openpty()
    with open(theirs, "r+b", buffering=0) as tty:
        stream = io.TextIOWrapper(tty)
        monkeypatch.setattr(sys, "stdin", stream)
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("TERM", terminal)
        drawn = can_draw()
        monkeypatch.undo()
    os.close(ours)
    assert not drawn
