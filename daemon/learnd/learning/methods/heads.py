"""Linear heads for any number of ways: where they start, and what they say.

A head is {"head.weight": (D, K), "head.bias": (K,)}; one that goes by angle also has "head.centre" (D,), from which
it looks at the features.  The prototype head says what nearest class mean says (Snell et
al. 2017, section 2.4), so gradient descent starts from a classifier that is right already and one checkpoint serves any
number of ways (Proto-MAML: Triantafillou et al. 2020, arXiv:1903.03096).  All of it is differentiable and can be
mapped over tasks by `torch.func.vmap`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

HEAD_PREFIX = "head."  # prefix of a head's parameters
LOG_SCALE = "log_scale"  # the meta-parameter of a prototype head: the log of its scale, a scalar
WEIGHT, BIAS, CENTRE = HEAD_PREFIX + "weight", HEAD_PREFIX + "bias", HEAD_PREFIX + "centre"


def class_means(features: Tensor, labels: Tensor, ways: int) -> Tensor:
    """features (N, D), labels int64 (N,) in [0, ways), each class at least once -> (ways, D)."""
    member = F.one_hot(labels, ways).to(features.dtype)  # (N, K)
    return (member.T @ features) / member.sum(0)[:, None]  # (K, D)


def prototype_head(features: Tensor, labels: Tensor, ways: int, scale: Tensor | float) -> dict[str, Tensor]:
    """The linear head whose softmax is that of -scale |x - mean_k|^2 / D."""
    means = class_means(features, labels, ways)
    by = scale / features.shape[1]
    return {WEIGHT: 2 * by * means.T, BIAS: -by * means.square().sum(1)}


def angle_head(features: Tensor, labels: Tensor, ways: int, scale: Tensor | float) -> dict[str, Tensor]:
    """The prototype head of features that are seen from their mean and scaled to length one.

    Its softmax is that of -scale |x - mean_k|^2 of those (SimpleShot: Wang et al. 2019, arXiv:1911.04623).
    """
    centre = features.mean(0)  # (D,)
    unit = F.normalize(features - centre, dim=1)
    return {**prototype_head(unit, labels, ways, scale * features.shape[1]), CENTRE: centre}


def zero_head(features: Tensor, ways: int) -> dict[str, Tensor]:
    """The head that knows nothing: every class is as likely."""
    return {WEIGHT: features.new_zeros(features.shape[1], ways), BIAS: features.new_zeros(ways)}


def linear(features: Tensor, head: Mapping[str, Tensor]) -> Tensor:
    """features (N, D) -> logits (N, K)."""
    if CENTRE in head:
        features = F.normalize(features - head[CENTRE], dim=1)
    return torch.addmm(head[BIAS], features, head[WEIGHT])
