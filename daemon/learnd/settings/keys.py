"""The settings: one typed tree, from defaults < config.yaml < ``LEARND_*`` environment < flags.

Everything about a key stands at its field; ``schema`` says what its rules mean.  No other line knows a key by
name, but those which see that tasks and state lie apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnd.settings.yaml_schema import rules

DAY = 86_400  # seconds


@dataclass(frozen=True)
class WatchSettings:
    """How new task folders are noticed."""

    backend: str = field(
        default="auto",
        metadata=rules(
            "How to notice changes. inotify is quick; polling also works on network file systems; auto chooses by the "
            "file system.",
            choices=("auto", "inotify", "polling"),
        ),
    )
    quiet_seconds: float = field(
        default=2.0,
        metadata=rules(
            "Treat a folder as complete when nothing in it has changed for this many seconds.", min=0, max=3600
        ),
    )
    rescan_seconds: float = field(
        default=30.0,
        metadata=rules(
            "Scan all folders every so many seconds, to find what file events missed. A scan that takes long runs less "
            "often: it never takes more than 0.5 % of the time.",
            min=0.05,
            max=DAY,
        ),
    )
    poll_seconds: float = field(
        default=1.0,
        metadata=rules(
            "The same for the polling backend.",
            min=0.05,
            max=3600,
        ),
    )


@dataclass(frozen=True)
class IntakeSettings:
    """What a task folder may hold."""

    min_images_per_class: int = field(
        default=2, metadata=rules("Reject a task that has a class with fewer images.", min=1, max=10_000)
    )
    max_pixels: int = field(
        default=50_000_000,
        metadata=rules("Reject an image with more pixels (width x height).", min=1, max=2 * 10**9),
    )
    max_file_bytes: int = field(
        default=200_000_000, metadata=rules("Reject an image file with more bytes.", min=1, max=10**12)
    )
    max_images: int = field(default=100_000, metadata=rules("Reject a task with more images.", min=1, max=10**8))


@dataclass(frozen=True)
class WorkerSettings:
    """The worker processes, one for each device."""

    threads: int = field(
        default=0,
        metadata=rules("CPU threads per worker. 0 shares the cores among the CPU workers.", min=0, max=1024),
    )
    job_seconds: float = field(
        default=600.0,
        metadata=rules("Replace a worker whose job takes longer than this many seconds.", min=0.1, max=7 * DAY),
    )
    start_seconds: float = field(
        default=180.0,
        metadata=rules(
            "Replace a worker that needs more than this many seconds to start and load the backbone.", min=0.1, max=DAY
        ),
    )
    attempts: int = field(
        default=3, metadata=rules("Try a job this many times before it counts as failed.", min=1, max=100)
    )
    retry_seconds: float = field(
        default=5.0,
        metadata=rules(
            "Wait this many seconds before the second attempt, twice as long before the third, and so on.",
            min=0,
            max=DAY,
        ),
    )


@dataclass(frozen=True)
class RoutingSettings:
    """How an algorithm is chosen for a task: plugins bid, and the best bids are measured."""

    budget_seconds: float = field(
        default=20.0,
        metadata=rules(
            "Spend at most this many seconds per task on measuring algorithms, by what the plugins expect to need.",
            min=0,
            max=DAY,
        ),
    )
    folds: int = field(
        default=5, metadata=rules("Cross-validate on the support images in this many folds.", min=2, max=100)
    )
    shortlist: int = field(
        default=8, metadata=rules("Measure only this many algorithms, those with the highest bids.", min=1, max=100)
    )
    good_enough: float = field(
        default=0.95,
        metadata=rules("Try no more expensive algorithm once one has reached this accuracy.", min=0, max=1),
    )


@dataclass(frozen=True)
class KnowledgeSettings:
    """What is kept of every task."""

    exemplars_per_class: int = field(
        default=20,
        metadata=rules(
            "Keep this many images per class (exemplars), so that the backbone can improve later.", min=0, max=100_000
        ),
    )
    retention: int = field(
        default=0,
        metadata=rules(
            "Keep this many versions for learnd rollback, the current one included, and remove the files that none of "
            "them needs. 0 keeps all.",
            min=0,
            max=10**9,
        ),
    )
    survey_tasks: int = field(
        default=64,
        metadata=rules(
            "Measure the accuracy of at most this many tasks again after each new version, when a worker is idle. "
            "learnd history shows the results. 0 measures none.",
            min=0,
            max=100_000,
        ),
    )


@dataclass(frozen=True)
class MemorySettings:
    """How much space the kept images may take."""

    max_bytes: int = field(
        default=2_000_000_000,
        metadata=rules(
            "Keep at most this many bytes of images. Above it, the same number of images is kept of each class, and "
            "held-out images are removed last. 0 means no limit.",
            min=0,
            max=10**15,
        ),
    )


@dataclass(frozen=True)
class ConsolidateSettings:
    """Consolidation: the shared network is trained on the kept images of all tasks, and accepted or rejected."""

    when: str = field(
        default="idle",
        metadata=rules(
            "When the daemon consolidates without being asked. learnd consolidate works at any time.",
            choices=("idle", "never"),
        ),
    )
    idle_seconds: float = field(
        default=600.0, metadata=rules("Consolidate only when no job has run for this many seconds.", min=0, max=DAY)
    )
    every_tasks: int = field(
        default=20,
        metadata=rules(
            "Consolidate only when this many tasks have been learned since the last time.", min=1, max=10**6
        ),
    )
    steps: int = field(default=100, metadata=rules("Train for this many steps.", min=1, max=10**6))
    seconds: float = field(
        default=3600.0,
        metadata=rules("Stop a consolidation that takes longer than this many seconds.", min=1, max=7 * DAY),
    )
    epsilon: float = field(
        default=0.02,
        metadata=rules(
            "Reject a candidate if the accuracy of a task may have fallen by more than this (one-sided 95 % bound).",
            min=0,
            max=1,
        ),
    )
    flips: float = field(
        default=0.02,
        metadata=rules("Reject a candidate that now misclassifies more than this share of the images.", min=0, max=1),
    )
    size: float = field(
        default=1.1,
        metadata=rules("Reject a candidate whose total size exceeds this multiple of the current one.", min=0, max=100),
    )
    latency: float = field(
        default=1.1,
        metadata=rules(
            "Reject a candidate that needs more than this multiple of the current multiply-adds per image.",
            min=0,
            max=100,
        ),
    )


@dataclass(frozen=True)
class Settings:
    """Every setting.  The paths that ``load`` gives are absolute.

    origins says who set a key, e.g. "watch.backend": "default" | "config.yaml:12" | "LEARND_WATCH__BACKEND" |
    "--watch-backend"; source is the file that was read.
    """

    tasks: Path = field(default=Path("tasks"), metadata=rules("The folder to watch. Each folder in it is a task."))
    state: Path = field(
        default=Path("state"),
        metadata=rules(
            "The folder for what was learned, and the journal. One daemon at a time uses it. Put it on a local disk."
        ),
    )
    plugins_dir: Path = field(
        default=Path("plugins"),
        metadata=rules("The folder for your own algorithms, one .py file each. It need not exist."),
    )
    plugins_strict: bool = field(
        default=False,
        metadata=rules(
            "Stop the daemon when a plugin would be quarantined, with its traceback and exit code 1. For plugin "
            "authors."
        ),
    )
    backbone: str = field(
        default="lite0-meta",
        metadata=rules(
            "The CNN that all tasks of a state share. To change it, start a new state. lite0-meta is for photographs "
            "and glyphs; lite0 for photographs; conv4 for small grey glyphs (conv4-views is a little better, and "
            "nine times slower). timm:<model> is any model of timm, plugin:<name> one that a plugin provides. "
            "<name>@<file> loads other weights, for example from learnd meta-train; conv4-rgb, for small "
            "photographs, always needs a file.",
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
            "Run one worker on each of these devices, for example [cuda:0, cuda:1] or [cpu, cpu]. auto uses every CUDA "
            "device, or the CPU if there is none.",
            choices=("auto",),
            pattern=r"cpu|cuda(:[0-9]{1,3})?",
            expected="auto, or a list of cpu, cuda and cuda:<number>",
            examples=("auto", "cpu", "cuda", "cuda:0"),
        ),
    )
    watch: WatchSettings = field(default=WatchSettings(), metadata=rules("How new task folders are noticed."))
    intake: IntakeSettings = field(default=IntakeSettings(), metadata=rules("What a task folder may hold."))
    worker: WorkerSettings = field(
        default=WorkerSettings(), metadata=rules("The worker processes, which do the learning.")
    )
    routing: RoutingSettings = field(
        default=RoutingSettings(),
        metadata=rules("How the algorithm for a task is chosen: plugins bid, and the best bids are measured."),
    )
    knowledge: KnowledgeSettings = field(default=KnowledgeSettings(), metadata=rules("What is kept of every task."))
    memory: MemorySettings = field(default=MemorySettings(), metadata=rules("How much space the kept images may take."))
    consolidate: ConsolidateSettings = field(
        default=ConsolidateSettings(),
        metadata=rules(
            "Consolidation: train the shared network on the kept images of all tasks. The result replaces the current "
            "network only if no task gets worse."
        ),
    )
    plugins: dict[str, dict[str, Any]] = field(
        default_factory=dict,
        metadata=rules(
            'Options of the algorithms, each under its name; "enabled: false" switches one off. To see the '
            "options and their defaults: learnd plugins info NAME.",
        ),
    )
    origins: dict[str, str] = field(default_factory=dict, compare=False, metadata={"internal": True})
    source: Path | None = field(default=None, compare=False, metadata={"internal": True})
