"""Random variations of images, on tensors: every image its own way, all of it from one generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(kind: str, images: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 (N, C, S, S) -> float32 (N, C, S, S) in [0, 255]; kind: "none" | "glyphs" | "photographs".

    "none" hands the images back as they are.
    """
    if kind == "none":
        return images
    pixels = images.float()
    return jitter(pixels, generator) if kind == "glyphs" else photograph(pixels, generator)


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """A random affine map for each image."""
    return warp(images, affine(len(images), generator), "border")


def affine(n: int, generator: torch.Generator, amount: float = 1.0) -> Tensor:
    """Random maps (n, 2, 3): turn +-12 degrees, scale +-15 %, shear, shift +-2 px of 28; amount: share of all that."""
    angle, shear = _uniform(n, 0.21 * amount, generator), _uniform(n, 0.2 * amount, generator)
    scale_x, scale_y = 1 + _uniform(n, 0.15 * amount, generator), 1 + _uniform(n, 0.15 * amount, generator)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = angle.cos() * scale_x
    theta[:, 0, 1] = -angle.sin() + shear
    theta[:, 1, 0] = angle.sin()
    theta[:, 1, 1] = angle.cos() * scale_y
    theta[:, 0, 2], theta[:, 1, 2] = _uniform(n, 0.14 * amount, generator), _uniform(n, 0.14 * amount, generator)
    return theta


def photograph(images: Tensor, generator: torch.Generator) -> Tensor:
    """A mirror image half of the time, a crop of 80 to 100 % of the side, brightness, contrast, colour +-20 %."""
    n = len(images)
    side = 0.9 + _uniform(n, 0.1, generator)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = side * mirror, side
    room = 1 - side + 0.05  # a little over the edge, too
    theta[:, 0, 2], theta[:, 1, 2] = _uniform(n, 1.0, generator) * room, _uniform(n, 1.0, generator) * room
    moved = warp(images, theta, "reflection")
    bright, contrast, colour = (
        (1 + _uniform(n, 0.2, generator)).to(images.device, non_blocking=True).view(-1, 1, 1, 1) for _ in range(3)
    )
    grey = moved.mean(1, keepdim=True)  # (N, 1, S, S)
    level = grey.mean((2, 3), keepdim=True)  # (N, 1, 1, 1)
    toned = grey + colour * (moved - grey)
    return (bright * (level + contrast * (toned - level))).clamp(0, 255)


def _uniform(n: int, limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) * 2 - 1) * limit


def warp(images: Tensor, theta: Tensor, padding: str) -> Tensor:
    """theta (N, 2, 3): from the coordinates of the result, in [-1, 1], to those of the images."""
    grid = F.affine_grid(theta.to(images.device, non_blocking=True), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)
