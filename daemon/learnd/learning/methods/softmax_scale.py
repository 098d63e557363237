"""From scores to logits whose softmax means something: one scale, chosen on predictions of held-out images.

Temperature scaling, Guo et al. 2017 (arXiv:1706.04599), with softened targets in the manner of Platt 1999, so
that the scale stays finite where every held-out image was classified correctly.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCORE_SCALES = torch.logspace(-2, 2, 33)  # of scores, in units of their own spread
DEFAULT_SCALE = 5.0  # the scale, in the same units, where every class has one image


def held_out_losses(scores: Tensor, labels: Tensor, scales: Tensor) -> Tensor:
    """Mean cross-entropy of scale * scores for each scale.

    scores: float (N, K) of images that were held out when their score was made.  labels: int64 (N,).
    scales: float (S,), positive.  Returns float (S,).
    """
    count = len(scores)
    soft = 1 / (count + 1)  # as if one more image had been seen, and it could be of any class
    logs = (scales.view(-1, 1, 1) * scores).log_softmax(2)  # (S, N, K)
    right = logs.gather(2, labels.view(1, -1, 1).expand(len(scales), -1, -1))[..., 0]  # (S, N)
    return -((1 - soft) * right + soft * logs.mean(2)).mean(1)


def best_scale(scores: Tensor, labels: Tensor, scales: Tensor) -> Tensor:
    """The scale with the lowest held-out loss, a scalar tensor; arguments as for held_out_losses."""
    return scales[held_out_losses(scores, labels, scales).argmin()]


def scale_without_each(scores: Tensor, alone: Tensor, labels: Tensor) -> Tensor:
    """The scale of the scores of a head on the images that it was fitted to, a scalar tensor.

    scores: (N, K); labels: int64 (N,); alone: (N,), an image's score for its own class had it not been in it (of
    the only image of a class it may be anything finite).  One image per class tells nothing: then DEFAULT_SCALE.
    """
    spread = scores.std(1).mean().clamp_min(1e-6)
    many = torch.bincount(labels)[labels] > 1  # (N,)
    if not bool(many.any()):
        return DEFAULT_SCALE / spread
    held_out = scores.scatter(1, labels[:, None], alone[:, None])[many]
    return best_scale(held_out / spread, labels[many], SCORE_SCALES.to(scores)) / spread
