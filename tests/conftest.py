"""What every test shares: no settings from the user's environment, and a word on what was left out."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

# Before anything imports torch: on few cores, the threads of tiny tensors spend their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.control.rights import Unprivileged
from tests.data import ARCHIVES, data_folder, missing_reason


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LEARND_") and name != "LEARND_DATA":
            monkeypatch.delenv(name)


@pytest.fixture
def unprivileged() -> Iterator[Unprivileged]:
    rights = Unprivileged()
    yield rights
    rights.clean()


@pytest.fixture
def deaf_to_ctrl_c() -> Iterator[None]:
    """As in a worker: no signal raises KeyboardInterrupt."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def hearing_ctrl_c() -> Iterator[None]:
    """As in a terminal, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = [reason for name in ARCHIVES if (reason := missing_reason(name))]
    if not missing:
        return
    skipped = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    left_out = {why: count for why, count in skipped.items() if "LEARND_DATA" in why}
    terminalreporter.section("left out because data is missing")
    for why, count in left_out.items():
        terminalreporter.line(f"{count} test{'s' * (count > 1)}: {why}")
    if not left_out:
        terminalreporter.line("nothing of what was run: " + "; ".join(missing))
    terminalreporter.line(f"LEARND_DATA is {data_folder()}; CONTRIBUTING.md says what belongs there.")
