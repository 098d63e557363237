"""The few directions that a support spans: closed forms are solved there, as N images have at most N of D."""

from __future__ import annotations

import torch
from torch import Tensor


def principal(a: Tensor) -> tuple[Tensor, Tensor]:
    """Right singular vectors (D, R) and squared singular values (R,), ascending, of a float64 (N, D).

    R is D where N > D, else the rank; by the eigenvalues of the smaller of the two products of a with itself.
    """
    if len(a) > a.shape[1]:
        power, basis = torch.linalg.eigh(a.T @ a)
        return basis, power.clamp_min(0)
    power, left = torch.linalg.eigh(a @ a.T)
    kept = power > power[-1] * 1e-10
    return a.T @ left[:, kept] / power[kept].sqrt(), power[kept]
