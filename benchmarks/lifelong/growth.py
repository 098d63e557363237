"""2,000 tasks of 5 classes: does the 2,000th cost more than the first, and how quick is an answer among 10,000 classes?

Features are drawn, everything else is real: statistics, files, gate, journal and generations, with every fsync. What a
worker does before (decode, embed, route, adapt) sees one task alone, so it cannot grow: a job names no other.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks.figures import Figure, at_most
from learnd.control.knowledge import result_check
from learnd.identity import sha256_of
from learnd.learning.jobs.predict import answers_of, ranked
from learnd.learning.knowledge import class_statistics
from learnd.learning.knowledge.classifier_cache import HeadKeeper
from learnd.learning.knowledge.classifier_file import save_head
from learnd.learning.knowledge.classifier_sums import Ledger, added
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.networks.tensor_file import write_tensors
from learnd.messages.convert import to_json
from learnd.messages.jobs import BackboneSpec, HeadFile, Member
from learnd.messages.outcomes import Outcome, OutcomeStatus
from learnd.messages.report import Report
from learnd.messages.state_files import ADAPTED_FILE, CLASSIFIER_FILE, EXEMPLARS_FILE, REPORT_FILE, STATISTICS_FILE
from tests.control.archives import packed
from tests.control.candidates import REPORT
from tests.control.home import Home

T = TypeVar("T")

TASKS, WINDOW = 2_000, 100
WAYS, SHOTS, WIDTH = 5, 6, 256
ASKED = 50  # images, one at a time
HASH = "0" * 64
NOISE = 0.5  # of an image about its class, the class means being drawn from a standard normal distribution


def figures(tasks: int) -> list[Figure]:
    generator = torch.Generator().manual_seed(1)
    with tempfile.TemporaryDirectory(prefix="learnd-growth-") as name:
        home = Home(Path(name))
        seconds, sizes = [], [_bytes(home)]
        for number in range(tasks):
            seconds.append(learn_one(home, f"task-{number:05d}", generator))
            if number + 1 in (WINDOW, tasks - WINDOW, tasks):
                sizes.append(_bytes(home))
        members, backbone = home.generations.members(), _named(HASH)
        keeper, path = HeadKeeper(), Path(name) / CLASSIFIER_FILE
        _, first_fit = _timed(lambda: HeadKeeper().head_of(members, backbone))
        keeper.head_of(members[:-1], backbone)
        head, one_more = _timed(lambda: keeper.head_of(members, backbone))
        _, noting = _timed(lambda: added(Ledger(), [_remembered(members[-1])]))
        save_head(head, members, path, HASH)
        file = HeadFile(str(path), sha256_of(path))
        path_bytes = path.stat().st_size
        head, loading = _timed(lambda: HeadKeeper().head_of(members, backbone, file))
        ask = class_statistics.unit(torch.randn(ASKED, WIDTH, generator=generator)).float()  # (N, D)
        answering = []
        for image in ask.split(1):
            started = time.perf_counter()
            ranked(answers_of(head, {IDENTITY: image}), ["image"], 3)
            answering.append(1000 * (time.perf_counter() - started))
    parts = [list(zip(*part, strict=True)) for part in (seconds[:WINDOW], seconds[-WINDOW:])]
    (first, early_clock), (last, late_clock) = ([statistics.median(kind) for kind in part] for part in parts)
    early, late = ((after - before) / WINDOW for before, after in ((sizes[0], sizes[1]), (sizes[2], sizes[3])))
    label = f"tasks 1 to {WINDOW} against the last {WINDOW} of {tasks:,}"
    return [
        Figure("seconds a task, from its features to its commit: CPU", f"{first:.4f}, {last:.4f}"),
        Figure("  on the clock, with whatever else runs here", f"{early_clock:.4f}, {late_clock:.4f}"),
        at_most(f"{label}: seconds of CPU", last / first, 1.2, "times", 2),
        Figure("bytes a task, with its share of the journal", f"{early:,.0f}, {late:,.0f}"),
        at_most(f"{label}: bytes", late / early, 1.2, "times", 2),
        Figure(f"the head over {len(head.classes):,} classes: from all files", f"{first_fit:.2f} s"),
        Figure("  fitted anew after one task more, of which the ledger takes", f"{one_more:.2f} s, {noting:.4f} s"),
        Figure("  ready made, from its own file", f"{loading:.2f} s, {path_bytes / 1e6:.0f} MB"),
        at_most("an answer among them, after embedding", statistics.median(answering), 10, "ms", 2),
    ]


def learn_one(home: Home, name: str, generator: torch.Generator) -> tuple[float, float]:
    """Remember drawn features as a task and commit it; the seconds of the processor and of the clock that took."""
    lease = home.lease(name, name)
    out = home.state / "work" / f"{lease.job}-{lease.epoch}" / "out"
    out.mkdir(parents=True)
    centres = torch.randn(WAYS, WIDTH, generator=generator)
    labels = torch.arange(WAYS).repeat_interleave(SHOTS)
    features = centres[labels] + NOISE * torch.randn(len(labels), WIDTH, generator=generator)  # (N, D)
    report = replace(REPORT, task=name, id=name, digest=name, classes=tuple("abcde"), backbone_hash=HASH)
    started = time.process_time(), time.perf_counter()
    outcome = _candidate(out, features, labels, report)
    home.generations.commit(lease, result_check.check(out, outcome), outcome, out)
    return time.process_time() - started[0], time.perf_counter() - started[1]


def _candidate(out: Path, features: Tensor, labels: Tensor, report: Report) -> Outcome:
    known = class_statistics.statistics(features, labels, report.classes)
    class_statistics.save(known, out / STATISTICS_FILE, HASH)
    write_tensors({"means": (known.sum / known.count[:, None]).float()}, out / ADAPTED_FILE, {})
    (out / EXEMPLARS_FILE).write_bytes(packed(dict.fromkeys(report.classes, SHOTS), size=300))  # of small drawings
    (out / REPORT_FILE).write_text(json.dumps(to_json(report)))
    return Outcome(
        OutcomeStatus.DONE, report=report, files={file.name: sha256_of(file) for file in sorted(out.iterdir())}
    )


def _remembered(member: Member) -> tuple[tuple[str, int], class_statistics.Statistics]:
    path = Path(member.folder) / STATISTICS_FILE
    return (member.id, member.revision), class_statistics.load(path, HASH, member.statistics)


def _named(digest: str) -> Backbone:
    """A backbone of which nothing is asked but its hash."""
    return replace(load_backbone(BackboneSpec("conv4")), hash=digest)


def _timed(do: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds that took."""
    started = time.perf_counter()
    return do(), time.perf_counter() - started


def _bytes(home: Home) -> int:
    """All of the state, with what lay in the journal's log written into it."""
    home.journal.db.run("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(file.stat().st_size for file in home.state.rglob("*") if file.is_file())
