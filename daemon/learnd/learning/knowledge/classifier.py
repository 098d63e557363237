"""One answer among every class ever learnt, from the statistics of all tasks, and an honest "none of them".

Deep Streaming Linear Discriminant Analysis, Hayes & Kanan 2020 (arXiv:1909.01520): class means and one covariance
for all classes, shrunk towards a multiple of the identity.  How much to shrink, the temperature of the softmax and
when to say "unknown" are not tuned: leave-one-out on what was learnt decides them.  In closed form, since leaving
out one image changes the covariance by rank one (Sherman & Morrison 1950) and a mean by a multiple of its residual.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from learnd.learning.knowledge.class_statistics import Statistics, unit
from learnd.learning.knowledge.classifier_sums import SAMPLES, UNIT, Key, Ledger, added
from learnd.messages.jobs import Member
from learnd.messages.joins import Pair, answered_as, joined

CLASSIFIER_SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)  # the last is nearest mean
TEMPERATURES = (0.1, 1e5)
MAX_COMPARISONS = 4_000_000  # distances that leave-one-out computes at most; but SAMPLES / 4 are always used
GOLDEN = (math.sqrt(5) - 1) / 2
FALSE_ALARMS = 0.02  # of images of known classes may be called unknown


@dataclass(frozen=True)
class UnifiedHead:
    """A classifier over K (task, class) pairs, on features of width D; float64 throughout.

    whiten: (D, D); in unit(features) @ whiten a distance is a Mahalanobis distance.  means: (K, D), whitened.
    noise: (K,), what a squared distance to a mean owes to the mean being an average of few images.
    radius: the largest squared distance, less noise, of what is known.  shrinkage: in (0, 1].  freedom: images less
    classes of all that is known.  count: (K,), images of each class.
    """

    classes: tuple[tuple[str, str], ...]
    whiten: Tensor
    means: Tensor
    noise: Tensor
    temperature: float
    radius: float
    shrinkage: float
    freedom: int
    count: Tensor

    @cached_property
    def _lengths(self) -> Tensor:
        """The squared lengths of the means, (K,)."""
        return self.means.square().sum(1)

    def distances(self, features: Tensor) -> Tensor:
        """Squared Mahalanobis distance to each class, less noise: features (N, D) -> float64 (N, K)."""
        return _squared(unit(features) @ self.whiten, self.means, self._lengths) - self.noise  # (N, K)

    def answer(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """log_posterior and novelty in one pass: features (N, D) -> (N, K), (N,)."""
        distances = self.distances(features)  # (N, K)
        novelty = distances.amin(1) - self.radius  # (N,)
        return distances.div_(-2 * self.temperature).log_softmax(1), novelty

    def log_posterior(self, features: Tensor) -> Tensor:
        """Logarithms of the probabilities of the classes, all equally likely beforehand: (N, D) -> (N, K)."""
        return self.answer(features)[0]

    def left_out(self, own: Statistics, first: int) -> tuple[Tensor, Tensor]:
        """Classify the kept images of one member, each as if it alone had not been learnt.

        own: the member's statistics; first: the place of its first class among all.  Returns the log posterior float64
        (M, K) and their classes int64 (M,), for those M whose class keeps an image.
        """
        rows = (own.count[own.owners] > 1).nonzero()[:, 0]
        owners, count = own.owners[rows] + first, own.count[own.owners[rows]].double()  # (M,), (M,)
        share = (1 - self.shrinkage) / max(self.freedom, 1)
        distances, within = _left_out(self.means, own.witnesses[rows] @ self.whiten, owners, count, share)
        distances = distances - self.noise  # (M, K)
        distances[torch.arange(len(rows)), owners] = within - self.noise[owners] * count / (count - 1)
        return (distances / (-2 * self.temperature)).log_softmax(1), owners

    def novelty(self, features: Tensor) -> Tensor:
        """How strange an image is: above 0 where it is unknown, higher where it is farther; (N, D) -> (N,)."""
        return self.answer(features)[1]

    def unknown(self, features: Tensor) -> Tensor:
        """Whether an image is farther from every class than what is known: features (N, D) -> bool (N,).

        The radius is a split-conformal one (Vovk et al. 2005): of images of the known classes 2 in 100 are called
        unknown, or 1 in N + 1 where no more than N images are known.  An image of a new class that looks like a
        known one is not reported as unknown: "unknown" means "like nothing I know", never "I am not sure which".
        """
        return self.novelty(features) > 0  # (N,)


@dataclass(frozen=True)
class _Pool:
    """The statistics of all members, in sorted order: K classes, width D, M images to be left out in turn.

    means and residuals are in the coordinates of the axes, in which every shrunk covariance is diagonal.
    """

    classes: tuple[tuple[str, str], ...]
    count: Tensor  # (K,) float64
    means: Tensor  # (K, D)
    freedom: int  # images less classes
    axes: Tensor  # (D, D) orthonormal columns: the principal axes within classes
    spread: Tensor  # (D,) the variance along each
    residuals: Tensor  # (M, D)
    owners: Tensor  # (M,)
    right: Tensor  # int64 (M, P): of each the classes that are answered as its own is, followed by -1


@dataclass(frozen=True)
class _ScaleTrial:
    """One shrinkage, measured by leave-one-out."""

    shrinkage: float
    temperature: float
    loss: float
    tau: float  # expected squared distance of an image to the true mean of its class
    nearest: Tensor  # (M,) squared distance of each left-out image to the nearest class, less noise


def unified_head(members: Sequence[tuple[Member, Statistics]]) -> UnifiedHead:
    """The head over all classes of the members; the same for every order in which they are given.

    Raises ValueError if there is no member, or their features differ in width.
    """
    ledger = added(Ledger(), [((member.id, member.revision), known) for member, known in members])
    return fitted_head([member for member, _ in members], ledger)


def fitted_head(members: Sequence[Member], ledger: Ledger) -> UnifiedHead:
    """The head over all classes of a ledger; members: those that it is of, in any order.

    Raises ValueError if there is none.
    """
    pool = _pool(members, ledger)
    if not len(pool.residuals) or not bool((pool.spread > 0).any()):
        return _without_spread(pool)
    best = min((_try(pool, shrinkage) for shrinkage in CLASSIFIER_SHRINKAGES), key=lambda trial: trial.loss)
    scale = _scale(pool, best.shrinkage)
    return UnifiedHead(
        classes=pool.classes,
        whiten=(pool.axes * scale).contiguous(),  # as it lies in a file: products are the same to the bit
        means=pool.means * scale,
        noise=best.tau / pool.count,
        temperature=best.temperature,
        radius=_radius(best.nearest),
        shrinkage=best.shrinkage,
        freedom=pool.freedom,
        count=pool.count,
    )


def _pool(members: Sequence[Member], ledger: Ledger) -> _Pool:
    if not members:
        raise ValueError("no member takes part")
    named = {(member.id, member.revision): member for member in members}
    pages = ledger.ordered
    classes = tuple((named[key].name, name) for key, page in pages for name in page.classes)
    count = torch.cat([page.count for _, page in pages])
    freedom = int(count.sum()) - len(count)
    axes, spread = _principal(ledger, max(freedom, 1))
    residuals, owners = _judges(ledger, len(count))
    means = torch.cat([page.sum for _, page in pages]) / count[:, None]
    right = _alike(answered_as(classes, joined(members)))[owners]
    return _Pool(classes, count.double(), means @ axes, freedom, axes, spread, residuals @ axes, owners, right)


def _alike(answered: Sequence[Pair]) -> Tensor:
    """Given what each class is answered as, the places of all that are answered as it is, followed by -1: (K, P)."""
    places: dict[Pair, list[int]] = {}
    for place, pair in enumerate(answered):
        places.setdefault(pair, []).append(place)
    most = max(map(len, places.values()))
    return torch.tensor([places[pair] + [-1] * (most - len(places[pair])) for pair in answered])


def _principal(ledger: Ledger, freedom: int) -> tuple[Tensor, Tensor]:
    """The principal axes (D, D) and the variance along each (D,) of all rows together."""
    if ledger.scatter is not None:
        variances, axes = torch.linalg.eigh(ledger.scatter.double() / (freedom * 2.0**UNIT))
        return axes, variances.clamp_min(0)
    # A few rows: 15 times faster than by way of the scatter.
    rows = torch.cat([page.within for _, page in ledger.ordered if page.within is not None])
    _, values, axes = torch.linalg.svd(rows, full_matrices=True)
    spread = torch.zeros(rows.shape[1], dtype=torch.float64)
    spread[: len(values)] = values.square() / freedom
    return axes.T, spread


def _judges(ledger: Ledger, classes: int) -> tuple[Tensor, Tensor]:
    """The leave-one-out samples minus their class mean (M, D), and the indices of their classes (M,)."""
    starts: dict[Key, int] = {}
    width = place = 0
    for key, page in ledger.ordered:
        starts[key], place, width = place, place + len(page.classes), page.sum.shape[1]
    chosen = ledger.samples[: max(SAMPLES // 4, min(SAMPLES, MAX_COMPARISONS // classes))]
    residuals = torch.stack([sample.residual for sample in chosen]) if chosen else torch.zeros(0, width).double()
    return residuals, torch.tensor([starts[sample.key] + sample.owner for sample in chosen], dtype=torch.int64)


def _scale(pool: _Pool, shrinkage: float) -> Tensor:
    """(D,) for each axis, such that |x * scale|^2 = x^T ((1 - s) S + s tr(S)/D I)^-1 x for the covariance S."""
    return ((1 - shrinkage) * pool.spread + shrinkage * pool.spread.mean()).rsqrt()


def _try(pool: _Pool, shrinkage: float) -> _ScaleTrial:
    """Leave each sample out of its mean and of the covariance, and measure how well it is classified then."""
    rows, owners = torch.arange(len(pool.owners)), pool.owners
    scale = _scale(pool, shrinkage)
    means, residuals = pool.means * scale, pool.residuals * scale  # (K, D), (M, D)
    count = pool.count[owners]  # (M,)
    kept = count / (count - 1)
    distances, own = _left_out(means, residuals, owners, count, (1 - shrinkage) / pool.freedom)
    tau = float((own / kept).mean())
    distances = distances - tau / pool.count  # (M, K)
    distances[rows, owners] = own - tau / (count - 1)
    temperature, loss = _temperature(distances / -2, pool.right)
    return _ScaleTrial(shrinkage, temperature, loss, tau, distances.amin(1))


def _left_out(means: Tensor, residuals: Tensor, owners: Tensor, count: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Squared Mahalanobis distances of images to the class means, each with itself left out of the covariance.

    means (K, D) and residuals (M, D), of images less their class mean, are whitened; count (M,): images in their class.
    share: what one image weighs in the covariance.  Returns (M, K), and (M,): to the mean of the others of its class.
    """
    images = means[owners] + residuals  # (M, D)
    kept = count / (count - 1)
    lost = share * kept  # the covariance without it is I - lost r r^T
    length = residuals.square().sum(1)  # (M,)
    gain = lost / (1 - lost * length)  # its inverse is I + gain r r^T
    along = (images * residuals).sum(1, keepdim=True) - residuals @ means.T  # (M, K)
    distances = _squared(images, means) + gain[:, None] * along.square()  # (M, K)
    return distances, kept.square() * (length + gain * length.square())


def _temperature(scores: Tensor, right: Tensor) -> tuple[float, float]:
    """The temperature with the lowest cross-entropy, and that; scores (M, K), the right columns (M, P), -1 is none.

    Targets are softened by 1 / (M + 2) (Platt 1999), so that it stays finite if all are classified correctly.  The loss
    is convex in 1 / temperature, so a golden-section search over its logarithm finds the one minimum.
    """
    soft = 1 / (len(right) + 2)
    relative = (scores - scores.amax(1, keepdim=True)).float()  # (M, K); float32 is twice as fast, and enough here

    def loss(log_temperature: float) -> float:
        logs = (relative / math.exp(log_temperature)).log_softmax(1)  # (M, K)
        correct = logs.gather(1, right.clamp_min(0)).masked_fill(right < 0, -math.inf).logsumexp(1).mean()
        return float(-(1 - soft) * correct - soft * logs.mean())

    low, high = (math.log(limit) for limit in TEMPERATURES)
    while high - low > 0.05:
        lower, upper = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, upper) if loss(lower) < loss(upper) else (lower, high)
    middle = (low + high) / 2
    return math.exp(middle), loss(middle)


def _radius(nearest: Tensor) -> float:
    """The split-conformal quantile of the distances (M,) of images that were left out."""
    rank = min(len(nearest), math.ceil((len(nearest) + 1) * (1 - FALSE_ALARMS)))
    return float(nearest.sort().values[rank - 1])


def _without_spread(pool: _Pool) -> UnifiedHead:
    """Nearest mean: with one image per class, or equal ones, nothing is known of the spread within classes."""
    width = pool.means.shape[1]
    variance = float((pool.means - pool.means.mean(0)).square().mean()) or 1.0
    scale = 1 / math.sqrt(variance)
    noise = torch.zeros(len(pool.means), dtype=torch.float64)
    means = pool.means * scale
    whiten = (pool.axes * scale).contiguous()
    return UnifiedHead(pool.classes, whiten, means, noise, float(width), math.inf, 1.0, pool.freedom, pool.count)


def _squared(x: Tensor, y: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Squared Euclidean distances of rows, (N, D) and (K, D) -> (N, K); lengths: of y, (K,), where they are known."""
    least = y.square().sum(1) if lengths is None else lengths
    return torch.addmm(x.square().sum(1, keepdim=True) + least, x, y.T, alpha=-2).clamp_min_(0)
