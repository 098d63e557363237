"""The settings: one typed tree, from defaults < config.yaml < ``LEARND_*`` environment < flags.

Everything about a key stands at its field; ``schema`` says what its rules mean.  No other line knows a key by
name, but those which see that tasks and state lie apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnd.settings.schema import rules

DAY = 86_400  # seconds


@dataclass(frozen=True)
class WatchSettings:
    """How new task folders are noticed."""

    backend: str = field(
        default="auto",
        metadata=rules(
            "How changes are noticed: inotify is quick, polling also works on network file systems, and auto "
            "picks by the file system.",
            choices=("auto", "inotify", "polling"),
        ),
    )
    quiet_seconds: float = field(
        default=2.0,
        metadata=rules("Seconds without any change before a folder counts as complete.", min=0, max=3600),
    )
    rescan_seconds: float = field(
        default=30.0,
        metadata=rules(
            "Seconds between full scans, which find what events missed; at least 200 times as long as one takes.",
            min=0.05,
            max=DAY,
        ),
    )
    poll_seconds: float = field(
        default=1.0,
        metadata=rules(
            "Seconds between two full scans of the polling backend; at least 200 times as long as one takes.",
            min=0.05,
            max=3600,
        ),
    )


@dataclass(frozen=True)
class IntakeSettings:
    """What a task folder may hold."""

    min_images_per_class: int = field(
        default=2, metadata=rules("Images that every class must have.", min=1, max=10_000)
    )
    max_pixels: int = field(
        default=50_000_000,
        metadata=rules("Pixels (width x height) of an image at most.", min=1, max=2 * 10**9),
    )
    max_file_bytes: int = field(
        default=200_000_000, metadata=rules("Bytes of an image file at most.", min=1, max=10**12)
    )
    max_images: int = field(default=100_000, metadata=rules("Images of a task at most.", min=1, max=10**8))


@dataclass(frozen=True)
class WorkerSettings:
    """The worker processes, one for each device."""

    threads: int = field(
        default=0,
        metadata=rules("Threads of each worker. 0 shares the cores among the CPU workers.", min=0, max=1024),
    )
    job_seconds: float = field(
        default=600.0,
        metadata=rules("Seconds a job may take before its worker is replaced.", min=0.1, max=7 * DAY),
    )
    start_seconds: float = field(
        default=180.0,
        metadata=rules("Seconds a worker may take to start and load the backbone.", min=0.1, max=DAY),
    )
    attempts: int = field(
        default=3, metadata=rules("How often a job is tried before it counts as failed.", min=1, max=100)
    )
    retry_seconds: float = field(default=5.0, metadata=rules("Seconds before a job is tried again.", min=0, max=DAY))


@dataclass(frozen=True)
class RoutingSettings:
    """How an algorithm is chosen for a task: plugins bid, and the best bids are measured."""

    budget_seconds: float = field(
        default=20.0, metadata=rules("Seconds a task may spend on measuring algorithms.", min=0, max=DAY)
    )
    folds: int = field(
        default=5, metadata=rules("Folds of the cross-validation on the support images.", min=2, max=100)
    )
    shortlist: int = field(default=8, metadata=rules("How many bids at most are measured.", min=1, max=100))
    good_enough: float = field(
        default=0.95,
        metadata=rules("Measured accuracy, in [0, 1], at which no dearer algorithm is tried.", min=0, max=1),
    )


@dataclass(frozen=True)
class KnowledgeSettings:
    """What is kept of every task."""

    exemplars_per_class: int = field(
        default=20,
        metadata=rules("Images kept of every class, so that the backbone can improve.", min=0, max=100_000),
    )
    retention: int = field(
        default=0,
        metadata=rules(
            "Versions that learnd rollback can return to, the newest among them; what none of them needs is "
            "removed. 0 keeps all.",
            min=0,
            max=10**9,
        ),
    )
    survey_tasks: int = field(
        default=64,
        metadata=rules(
            "Tasks at most that are asked about anew after each change of what is known, when a worker is idle, "
            "for learnd history. 0: none.",
            min=0,
            max=100_000,
        ),
    )


@dataclass(frozen=True)
class MemorySettings:
    """How much the kept images may take."""

    max_bytes: int = field(
        default=2_000_000_000,
        metadata=rules(
            "Bytes of all kept images together. Where they are more, of each class the same number is kept; held-out "
            "images go last. 0: no limit.",
            min=0,
            max=10**15,
        ),
    )


@dataclass(frozen=True)
class ConsolidateSettings:
    """Sleep: the shared network is trained on what is kept of all tasks, and passes the gate or is thrown away."""

    when: str = field(
        default="idle",
        metadata=rules(
            "Does the daemon consolidate by itself? learnd consolidate asks for it at any time.",
            choices=("idle", "never"),
        ),
    )
    idle_seconds: float = field(
        default=600.0, metadata=rules("Seconds without any job before it does.", min=0, max=DAY)
    )
    every_tasks: int = field(
        default=20, metadata=rules("Tasks learnt since the last time before it does.", min=1, max=10**6)
    )
    steps: int = field(default=100, metadata=rules("Steps of the training.", min=1, max=10**6))
    seconds: float = field(
        default=3600.0, metadata=rules("Seconds it may take before its worker is replaced.", min=1, max=7 * DAY)
    )
    epsilon: float = field(
        default=0.02,
        metadata=rules(
            "How far the accuracy of a task may fall, by the lower bound of what was measured (one-sided 95 %).",
            min=0,
            max=1,
        ),
    )
    flips: float = field(
        default=0.02, metadata=rules("Share of images that may be told right before and wrong after.", min=0, max=1)
    )
    size: float = field(
        default=1.1, metadata=rules("How many times as many bytes all that is known may take.", min=0, max=100)
    )
    latency: float = field(
        default=1.1, metadata=rules("How many times as many multiply-adds an image may take.", min=0, max=100)
    )


@dataclass(frozen=True)
class Settings:
    """Every setting.  The paths that ``load`` gives are absolute.

    origins says who set a key, e.g. "watch.backend": "default" | "config.yaml:12" | "LEARND_WATCH__BACKEND" |
    "--watch-backend"; source is the file that was read.
    """

    tasks: Path = field(default=Path("tasks"), metadata=rules("The watched folder: a folder in it is a task."))
    state: Path = field(
        default=Path("state"),
        metadata=rules("What was learnt, and the journal: for one daemon at a time, best on a local disk."),
    )
    plugins_dir: Path = field(
        default=Path("plugins"), metadata=rules("Your own algorithms, one a .py file. It need not exist.")
    )
    plugins_strict: bool = field(
        default=False,
        metadata=rules(
            "For those who write plugins: whether a plugin that would be quarantined ends the daemon instead, with its "
            "traceback and exit code 1."
        ),
    )
    backbone: str = field(
        default="lite0-meta",
        metadata=rules(
            "The CNN that all tasks of a state share; another one needs another state. conv4 is for small "
            "grey glyphs (conv4-views: a little better, nine times slower), lite0 for photographs, lite0-meta "
            "for both; timm:<model> is any other of timm, "
            "plugin:<name> one that a plugin brings. <name>@<file> has other weights, such as those of learnd "
            "meta-train; conv4-rgb, for small photographs, has no others.",
            pattern=r"(conv4|conv4-views|conv4-rgb|lite0|lite0-meta|timm:[^\s@]+|plugin:[a-z][a-z0-9_]*)(@.+)?",
            expected="conv4, conv4-views, conv4-rgb, lite0, lite0-meta, timm:<model>, plugin:<name> or "
            "<one of them>@<file>",
            examples=("conv4", "conv4-views", "conv4-rgb", "lite0", "lite0-meta", "timm:resnet18"),
            file_after="@",
        ),
    )
    devices: str | tuple[str, ...] = field(
        default="auto",
        metadata=rules(
            "Where the workers run, one worker for each: [cuda:0, cuda:1], [cpu, cpu]. auto takes every CUDA "
            "device, or else one CPU.",
            choices=("auto",),
            pattern=r"cpu|cuda(:[0-9]{1,3})?",
            expected="auto, or a list of cpu, cuda and cuda:<number>",
            examples=("auto", "cpu", "cuda", "cuda:0"),
        ),
    )
    watch: WatchSettings = field(default=WatchSettings(), metadata=rules("How new task folders are noticed."))
    intake: IntakeSettings = field(default=IntakeSettings(), metadata=rules("What a task folder may hold."))
    worker: WorkerSettings = field(default=WorkerSettings(), metadata=rules("The processes that learn."))
    routing: RoutingSettings = field(
        default=RoutingSettings(),
        metadata=rules("The choice of an algorithm: plugins bid, and the best bids are measured."),
    )
    knowledge: KnowledgeSettings = field(default=KnowledgeSettings(), metadata=rules("What is kept of every task."))
    memory: MemorySettings = field(default=MemorySettings(), metadata=rules("How much the kept images may take."))
    consolidate: ConsolidateSettings = field(
        default=ConsolidateSettings(),
        metadata=rules(
            "Sleep: the shared network learns from what is kept of all tasks, and takes the place of the old one only "
            "where no task gets worse."
        ),
    )
    plugins: dict[str, dict[str, Any]] = field(
        default_factory=dict,
        metadata=rules(
            'Options of the algorithms, each under its name; "enabled: false" switches one off. The '
            "defaults stand in the plugins: see learnd plugins info NAME.",
        ),
    )
    origins: dict[str, str] = field(default_factory=dict, compare=False, metadata={"internal": True})
    source: Path | None = field(default=None, compare=False, metadata={"internal": True})
