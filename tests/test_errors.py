"""Errors for people: where, what, and what to do; and the exit code that goes with each."""

from __future__ import annotations

import pytest

from learnd.errors import LearndError, StateError, exit_code_of


def test_an_error_says_where_what_and_what_to_do() -> None:
    assert str(LearndError("is empty", where="a.zip", remedy="bring another")) == "a.zip: is empty\n  -> bring another"
    assert str(LearndError("is empty")) == "is empty"


def test_a_module_run_as_a_command_says_its_error_and_shows_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise StateError("is locked", remedy="wait")

    assert exit_code_of(broken) == 3
    assert capsys.readouterr().err == "error: is locked\n  -> wait\n"
    assert exit_code_of(lambda: 0) == 0
    with pytest.raises(ZeroDivisionError):  # a defect is shown as one
        exit_code_of(lambda: 1 // 0)
