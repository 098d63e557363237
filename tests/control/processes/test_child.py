"""Children: spawned, heard, and gone when they should be."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learnd.control.processes.child import GONE, Child, explain_exit
from learnd.control.processes.start import devices, refuse_quarantined, worker_threads
from learnd.errors import PluginError
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.settings.loading import load
from tests.patience import PATIENCE

ECHO = """
import json, sys
for line in sys.stdin:
    print("to the log", file=sys.stderr, flush=True)
    print(json.dumps({"heard": json.loads(line)}), flush=True)
"""


class Ear:
    """An inbox that can be waited on."""

    def __init__(self) -> None:
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()

    def __call__(self, child: Child, message: dict[str, Any]) -> None:
        self.heard.put(message)

    def next(self) -> dict[str, Any]:
        return self.heard.get(timeout=PATIENCE)


Spawn = Callable[[str], Child]


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def spawn(ear: Ear, tmp_path: Path) -> Iterator[Spawn]:
    children: list[Child] = []

    def start(code: str) -> Child:
        child = Child("child", [sys.executable, "-c", code], tmp_path / "logs" / "child.log", ear)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()


def test_it_hears_and_is_heard(spawn: Spawn, ear: Ear) -> None:
    child = spawn(ECHO)
    child.send({"run": "job.json"})
    assert ear.next() == {"heard": {"run": "job.json"}}


def test_what_it_prints_to_stderr_is_kept_as_the_tail_of_its_log(spawn: Spawn, ear: Ear) -> None:
    child = spawn(ECHO)
    child.send({})
    ear.next()
    child.kill()
    ear.next()
    assert child.log_tail() == "to the log"


def test_a_line_that_is_no_json_does_not_end_the_conversation(spawn: Spawn, ear: Ear) -> None:
    spawn("print('hello from a library'); print(42); print('{\"beat\": true}')")
    assert ear.next() == {"noise": "hello from a library"}
    assert ear.next() == {"noise": "42"}
    assert ear.next() == {"beat": True}


def test_its_end_is_the_last_message(spawn: Spawn, ear: Ear) -> None:
    spawn("raise SystemExit(7)")
    assert ear.next() == {GONE: 7}


def test_kill_ends_it_with_what_it_started(spawn: Spawn, ear: Ear) -> None:
    child = spawn(
        "import subprocess, sys, time\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(grandchild.pid, flush=True)\n"
        "time.sleep(60)"
    )
    grandchild = Path("/proc") / str(ear.next()["noise"])
    child.kill()
    assert ear.next() == {GONE: -9}
    end = time.monotonic() + 10
    while grandchild.exists() and " Z " not in (grandchild / "stat").read_text():
        assert time.monotonic() < end


def test_kill_does_not_wait_for_what_has_left_its_session_with_its_pipe(spawn: Spawn, ear: Ear) -> None:
    child = spawn(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    print(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    stray = int(ear.next()["noise"])
    child.kill()
    assert ear.heard.empty()  # the stray holds the pipe open, so it lives
    os.kill(stray, signal.SIGKILL)
    assert ear.next() == {GONE: -9}


def test_sending_to_one_that_is_gone_is_no_error(spawn: Spawn, ear: Ear) -> None:
    child = spawn("pass")
    assert ear.next() == {GONE: 0}
    child.send({"run": "job.json"})


def test_a_former_log_is_kept_beside_the_new_one(spawn: Spawn, ear: Ear, tmp_path: Path) -> None:
    for text in ("first", "second"):
        spawn(f"import sys; print('{text}', file=sys.stderr)")
        ear.next()
    assert (tmp_path / "logs" / "child.old.log").read_text() == "first\n"
    assert (tmp_path / "logs" / "child.log").read_text() == "second\n"


@pytest.mark.parametrize(
    ("code", "words"), [(1, "ended with exit code 1"), (-9, "was killed by SIGKILL"), (-11, "was killed by SIGSEGV")]
)
def test_an_exit_code_is_said_in_words(code: int, words: str) -> None:
    assert explain_exit(code) == words


def test_devices_are_as_set_or_every_gpu_or_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices(load(None, {"devices": "[cpu, cpu]"}, {})) == ("cpu", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert devices(load(None, {}, {})) == ("cuda:0", "cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices(load(None, {}, {})) == ("cpu",)


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert worker_threads(load(None, {"devices": "[cpu, cpu]"}, {})) == 4
    assert worker_threads(load(None, {"devices": "cpu", "worker.threads": "3"}, {})) == 3


def test_where_it_is_strict_a_plugin_in_quarantine_is_refused_with_its_traceback() -> None:
    plugins = [
        PluginInfo("ridge", "built-in", PluginState.OK),
        PluginInfo("mine", "mine.py", PluginState.QUARANTINED, "Traceback\n  boom"),
    ]
    refuse_quarantined(plugins, load(environ={}))
    strict = load(None, {"plugins_strict": "true"}, {})
    refuse_quarantined(plugins[:1], strict)
    with pytest.raises(PluginError, match="boom") as error:
        refuse_quarantined(plugins, strict)
    assert "plugin mine (mine.py)" in str(error.value)
