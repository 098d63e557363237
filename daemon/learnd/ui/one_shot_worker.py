"""A worker for one question: started by a command, with or without a daemon, and gone with it."""

from __future__ import annotations

import dataclasses
import json
import queue
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learnd.control.dispatch.plugin_strikes import AT_IMPORT, Strikes
from learnd.control.processes.child import GONE, Child, explain_exit
from learnd.control.processes.start import WorkerPlace, devices, refuse_quarantined, start_worker
from learnd.errors import LearndError, StateError
from learnd.messages.convert import SCHEMA, BadJson, from_json, to_json
from learnd.messages.jobs import BackboneSpec, ConsolidateSpec, PredictSpec
from learnd.messages.outcomes import Outcome
from learnd.messages.plugins import PluginInfo
from learnd.messages.worker import Hello, Importing, StageProgress, read_message
from learnd.settings.keys import Settings
from learnd.ui.views.console import ProgressReport
from learnd.ui.views.json_output import journal_if_any

WORKER_SILENCE_SECONDS = 60.0  # seconds without a word, though a worker beats every two

_DOCTOR = "run `learnd doctor`"


class OneShot:
    """A worker that has said hello.  folder: its temporary files."""

    def __init__(self, child: Child, inbox: queue.SimpleQueue[dict[str, Any]], folder: Path) -> None:
        self._child = child
        self._inbox = inbox
        self._importing: Importing | None = None  # the plugin that it said it imports next
        self.folder = folder

    def hear(self, wanted: str, seconds: float, progress: ProgressReport, *, patient: bool = False) -> Any:
        """What it says under this key.  seconds: how long it may take; patient: how long it may be silent.

        Raises LearndError if it says that it failed, ends or takes too long.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                message = read_message(self._inbox.get(timeout=max(0.0, deadline - time.monotonic())))
            except BadJson as error:
                raise LearndError(f"the worker sent a message that makes no sense ({error})", remedy=_DOCTOR) from error
            except queue.Empty:
                raise LearndError(f"the worker did not answer within {seconds:g} s", where=self._child.name) from None
            if wanted in message:
                return message[wanted]
            if "failed" in message:
                raise LearndError(message["failed"], remedy=_DOCTOR)
            if "unwritten" in message:  # there will be no answer
                remedy = f"make room in {self.folder.parent}, or name another folder: TMPDIR=DIR learnd predict ..."
                raise LearndError(f"the answer cannot be written ({message['unwritten']})", remedy=remedy)
            if GONE in message:
                raise self._died(explain_exit(message[GONE]))
            if "importing" in message:
                self._importing = message["importing"]
            if "progress" in message:
                at: StageProgress = message["progress"]
                progress(at.stage, at.done, at.total)
            if patient:
                deadline = time.monotonic() + seconds

    def _died(self, how: str) -> LearndError:
        plugin = self._importing
        if plugin is None:
            return LearndError(f"the worker {how}\n{self._child.log_tail()}", remedy=_DOCTOR)
        what = f"the worker {how} while it imported the plugin {plugin.name} ({plugin.source})"
        remedy = f"mend it, take it away, or set plugins.{plugin.name}.enabled: false in config.yaml"
        return LearndError(f"{what}\n{self._child.log_tail()}".rstrip(), remedy=remedy)

    def do(self, spec: PredictSpec | ConsolidateSpec, progress: ProgressReport) -> Outcome:
        """Do a job; spec.out lies in folder, or where it is wanted."""
        job = self.folder / "job.json"
        job.write_text(json.dumps({"schema": SCHEMA, **to_json(spec)}))
        self._child.send({"run": str(job)})
        result = Path(self.hear("done", WORKER_SILENCE_SECONDS, progress, patient=True))
        try:
            return from_json(Outcome, json.loads(result.read_text()))
        except (OSError, ValueError) as error:
            raise LearndError(f"the worker left no readable result ({error})", remedy=_DOCTOR) from error


@contextmanager
def one_shot(settings: Settings, backbone: BackboneSpec, progress: ProgressReport) -> Iterator[tuple[OneShot, Hello]]:
    """Start a worker on the first device, and end it afterwards.  It leaves nothing in the state.

    Raises LearndError if it cannot start, and PluginError if plugins_strict is on and one is in quarantine.
    """
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="learnd-", ignore_cleanup_errors=True) as folder:
        own = Path(folder)
        elsewhere = dataclasses.replace(settings, state=own)  # its log goes there
        place = WorkerPlace("worker", devices(settings)[0])
        progress(f"loading {backbone.name} on {place.device}", 0, 0)
        child = start_worker(place, backbone, elsewhere, lambda _child, message: inbox.put(message), _barred(settings))
        try:
            worker = OneShot(child, inbox, own)
            hello = worker.hear("hello", settings.worker.start_seconds, progress)
            refuse_quarantined(hello.plugins, settings)
            yield worker, hello
        finally:
            child.kill()


def _barred(settings: Settings) -> tuple[PluginInfo, ...]:
    """What killed the daemon's workers would kill this one."""
    try:
        with journal_if_any(settings) as journal:
            return Strikes(journal).barred(AT_IMPORT) if journal else ()
    except StateError:  # a damaged journal is said by whoever needs it
        return ()
