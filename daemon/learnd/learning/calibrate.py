"""From scores to logits whose softmax means something: one scale, chosen on predictions of held-out images.

Temperature scaling, Guo et al. 2017 (arXiv:1706.04599), with softened targets in the manner of Platt 1999, so
that the scale stays finite where every held-out image was told right.
"""

from __future__ import annotations

from torch import Tensor


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
