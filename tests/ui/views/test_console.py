"""Colour where somebody can see it, or asks for it; and words that say the same without."""

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


def test_what_is_no_terminal_gets_plain_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert shown(capsys) == "failed\n"


def test_force_color_colours_what_is_no_terminal_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31mfailed" in shown(capsys)


def test_no_color_comes_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in shown(capsys)


@pytest.mark.parametrize("terminal", ["dumb", "unknown"])
def test_where_lines_cannot_be_put_in_their_place_there_is_no_dashboard(
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
