"""Job specs for folders, as the control plane would write them."""

from __future__ import annotations

from pathlib import Path

from learnd.identity import digest_of_leaves, leaf_of, sha256_of
from learnd.messages.jobs import LearnSpec, Member, PredictSpec, RoutingSpec
from learnd.messages.task import ImageFile, ImageSplit, TaskOptions

SUFFIXES = {".png", ".jpg", ".webp"}


def learn_spec(folder: Path, out: Path, options: TaskOptions | None = None, name: str = "letters") -> LearnSpec:
    """A job for <folder>/<class>/<image>, or <folder>/{support,query}/<class>/<image>."""
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    files = tuple(
        ImageFile(
            path.relative_to(folder).as_posix(),
            path.parent.name,
            ImageSplit.QUERY if ImageSplit.QUERY in path.relative_to(folder).parts else ImageSplit.SUPPORT,
        )
        for path in paths
    )
    leaves = [(file.path, leaf_of((folder / file.path).read_bytes())) for file in files]
    if (folder / "task.yaml").exists():
        leaves.append(("task.yaml", leaf_of((folder / "task.yaml").read_bytes())))
    return LearnSpec(
        job=1,
        epoch=1,
        id=f"{name}-0",
        name=name,
        revision=1,
        folder=str(folder),
        files=files,
        digest=digest_of_leaves(leaves),
        options=options or TaskOptions(),
        routing=RoutingSpec(budget_seconds=20.0, folds=5, shortlist=4, good_enough=0.95),
        exemplars_per_class=20,
        seed=7,
        out=str(out),
    )


def member_of(spec: LearnSpec) -> Member:
    """What was learnt by the job, as the knowledge would hold it."""
    sums = [sha256_of(Path(spec.out, f"{name}.safetensors")) for name in ("statistics", "adapted")]
    return Member(spec.id, spec.name, spec.revision, spec.out, sums[0], sums[1])


def predict_spec(
    images: list[Path], members: list[Member], out: Path, task: str | None = None, top: int = 3
) -> PredictSpec:
    return PredictSpec(tuple(str(image) for image in images), tuple(members), task, top, str(out))
