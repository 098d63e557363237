"""Few-shot episodes on classes that nothing was trained on: how good an algorithm is, with its uncertainty.

The host holds the queries and marks them; an algorithm adapts as it would in the daemon.  The protocol is that of the
papers (Vinyals et al. 2016): every episode draws new classes and images; the score is the mean accuracy of
the episodes with the 95 % interval of a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Algorithm, Context, HeadAlgorithm, Support, check_logits, check_state
from learnd.learning.metatraining.batch_norm import normalised_by
from learnd.learning.networks.backbone import Backbone

NORMS = ("training", "support", "batch")


@dataclass(frozen=True)
class EpisodeSetting:
    """ways: classes an episode.  shots, queries: images of each.  episodes: how many; seed: of all that is drawn.

    norm: whose statistics batch norm takes: "training"; "support": of the episode's support (MetaBN); "batch": when it
    learns of the support, when it is asked of the queries together, which is transductive and what many papers report.
    """

    ways: int
    shots: int
    queries: int = 15
    episodes: int = 1000
    seed: int = 1
    norm: str = "training"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}")


@dataclass(frozen=True)
class EpisodeScore:
    """accuracy: mean over the episodes, in [0, 1]; interval: half the width of its 95 % interval."""

    accuracy: float
    interval: float
    episodes: int

    def __str__(self) -> str:
        return f"{100 * self.accuracy:.1f} ± {100 * self.interval:.1f}"


@dataclass(frozen=True)
class EpisodePool:
    """Test images, embedded once: images uint8 (N, C, S, S), features (N, D), rows[k]: the rows of class k."""

    images: Tensor
    features: Tensor
    rows: tuple[Tensor, ...]


def pool(backbone: Backbone, images: Tensor, rows: tuple[Tensor, ...]) -> EpisodePool:
    """Embed the images uint8 (N, C, S, S) of all classes."""
    return EpisodePool(images, backbone.embed(images), rows)


def score_of(accuracies: list[float]) -> EpisodeScore:
    """The mean of per-episode accuracies and its 95 % interval (normal, as the papers give it)."""
    values = torch.tensor(accuracies, dtype=torch.float64)
    spread = float(values.std()) if len(values) > 1 else 0.0
    return EpisodeScore(float(values.mean()), 1.96 * spread / math.sqrt(len(values)), len(values))


def combined(scores: Sequence[EpisodeScore]) -> EpisodeScore:
    """Scores of as many episodes each, as one: the mean, and the interval of a mean of independent means."""
    spread = math.sqrt(sum(score.interval**2 for score in scores)) / len(scores)
    return EpisodeScore(
        sum(score.accuracy for score in scores) / len(scores), spread, sum(score.episodes for score in scores)
    )


def evaluate(
    algorithm: Algorithm,
    backbone: Backbone,
    classes: EpisodePool,
    setting: EpisodeSetting,
    progress: Callable[[int, float], None] = lambda done, accuracy: None,
) -> EpisodeScore:
    """The score of an algorithm: adapt to each episode's support, mark its queries.

    The queries of an episode are handed over together; an algorithm that does not say ``transductive`` must say of each
    what it says of it alone, which the conformance kit checks.  Raises what the plugin raises.
    """
    generator = torch.Generator().manual_seed(setting.seed)
    accuracies: list[float] = []
    for number in range(setting.episodes):
        support, query = draw(classes.rows, setting, generator)  # (W, S), (W, Q)
        ctx = Context(torch.Generator().manual_seed(setting.seed * 1_000_003 + number))
        logits = _answer(algorithm, backbone, classes, (support, query.flatten()), setting.norm, ctx)  # (W * Q, W)
        labels = torch.arange(setting.ways, device=logits.device).repeat_interleave(setting.queries)
        accuracies.append(float((logits.argmax(1) == labels).double().mean()))
        progress(number + 1, sum(accuracies) / len(accuracies))
    return score_of(accuracies)


def draw(rows: tuple[Tensor, ...], setting: EpisodeSetting, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Row numbers of one episode: support int64 (W, S) and query (W, Q).  Raises ValueError if there are too few."""
    each = setting.shots + setting.queries
    if len(rows) < setting.ways or min(len(own) for own in rows) < each:
        raise ValueError(f"{setting.ways} classes of {each} images each are needed")
    chosen = torch.randperm(len(rows), generator=generator)[: setting.ways].tolist()
    picked = torch.stack([rows[k][torch.randperm(len(rows[k]), generator=generator)[:each]] for k in chosen])
    return picked[:, : setting.shots], picked[:, setting.shots :]


def nearest_mean(features: Tensor, support: Tensor, query: Tensor, labels: Tensor) -> float:
    """The share of queries that the nearest class mean tells right, by angle.

    features (N, D); rows of them: support int64 (W, S), query int64 (Q,) of the classes labels (Q,), in [0, W).
    """
    means = F.normalize(F.normalize(features[support], dim=2).mean(1), dim=1)  # (W, D)
    classified = (F.normalize(features[query], dim=1) @ means.T).argmax(1)  # (Q,)
    return float((classified.cpu() == labels).double().mean())


def _answer(
    algorithm: Algorithm,
    backbone: Backbone,
    classes: EpisodePool,
    episode: tuple[Tensor, Tensor],
    norm: str,
    ctx: Context,
) -> Tensor:
    support, query = episode  # (W, S), (W * Q,)
    ways, shots = support.shape
    rows = support.flatten()
    labels = torch.arange(ways, device=classes.features.device).repeat_interleave(shots)
    images = classes.images[rows].to(backbone.device)
    if norm == "training":
        given = Support(images, classes.features[rows], labels, ways)
        if isinstance(algorithm, HeadAlgorithm) and algorithm.reads_features(backbone):
            state = check_state(algorithm.adapt(backbone, given, ctx), algorithm.name)
            logits = algorithm.score(state, classes.features[query])
            return check_logits(logits, len(query), ways, algorithm.name)
    else:
        backbone = normalised_by(backbone, images)
        given = Support(images, backbone.embed(images), labels, ways)
    state = check_state(algorithm.adapt(backbone.private(), given, ctx), algorithm.name)
    asked = classes.images[query].to(backbone.device)
    if norm == "batch":
        backbone = normalised_by(backbone, asked)
    return check_logits(algorithm.predict(backbone, state, asked), len(query), ways, algorithm.name)
