"""How well probabilities and suspicions fit what turned out to be true."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 15


def accuracy(log_posterior: Tensor, answers: Tensor) -> float:
    """The share of rows (N, K) whose largest value is in the column of the answer, int64 (N,)."""
    return float((log_posterior.argmax(1) == answers).double().mean())


def calibration_error(log_posterior: Tensor, answers: Tensor) -> float:
    """The expected calibration error over BINS bins of equal width, in [0, 1]: (N, K), int64 (N,).

    sum_b |B_b| / N |accuracy(B_b) - confidence(B_b)| (Guo et al. 2017, arXiv:1706.04599, equation 3).
    """
    confidence, told = log_posterior.exp().max(1)  # (N,)
    bins = (confidence * BINS).long().clamp_max(BINS - 1)  # (N,)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, confidence.double() - (told == answers).double())
    return float(gaps.abs().sum() / len(answers))


def auroc(low: Tensor, high: Tensor) -> float:
    """The chance that a random value of high (M,) is above one of low (N,), a tie counting half (Mann & Whitney)."""
    both, ranks = torch.cat([low, high]).unique(return_inverse=True)
    counts = torch.bincount(ranks, minlength=len(both)).double()
    middle = counts.cumsum(0) - (counts - 1) / 2  # the mean rank of equal values, from 1
    total = float(middle[ranks[len(low) :]].sum())
    return (total - len(high) * (len(high) + 1) / 2) / (len(low) * len(high))
