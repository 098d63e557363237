"""How many tasks go through the network at once, and in which number format: by size and device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from learnd.errors import SettingsError
from learnd.learning.inner import Tensors
from learnd.learning.metalearner import Episodes, MetaLearner

# Measured with conv4 on a CPU: 16 tasks at once are 1.5 to 1.8 times faster than one by one for 5-way 1-shot and one
# inner step (80 images), and slower for 20 ways and 5 steps (1,600), which no longer fit the cache.
CPU_IMAGES, CPU_TASKS = 160, 16
GPU_PIXELS = 16_384 * 28 * 28  # that a graph of some 10 GB holds


def chunk_size(batching: str, learner: MetaLearner, episodes: Episodes) -> int:
    """Tasks at once.  batching: "auto" | "loop" | "vmap:<n>".

    One at a time where batch norm learns, so that the statistics of an episode are its own.  Raises SettingsError
    where more are asked for.
    """
    if batching.startswith("vmap:") and learner.batch_statistics:
        what = "this algorithm trains batch norm, which takes the statistics of one task at a time"
        raise SettingsError(what, where=f"--batching {batching}", remedy="leave it out, or say --batching loop")
    if batching.startswith("vmap:"):
        return int(batching.removeprefix("vmap:"))
    if batching == "loop" or learner.batch_statistics:
        return 1
    steps = max(1, int(getattr(learner, "steps", 1)))
    images = (episodes.support.shape[1] + episodes.query.shape[1]) * steps
    if episodes.support.device.type == "cpu":
        return CPU_TASKS if images <= CPU_IMAGES else 1
    pixels = images * episodes.support.shape[-1] ** 2
    return max(1, GPU_PIXELS // pixels)


def faster_in_bfloat16(device: torch.device) -> bool:
    """Only where the hardware multiplies it: elsewhere it is emulated, and several times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return False


def precision(amp: str, metric: bool, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bfloat16, for methods without second derivatives and where it is faster."""
    if amp == "off" or not metric or not faster_in_bfloat16(device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def slope_of(loss: Tensor, params: Tensors) -> dict[str, Tensor]:
    """The gradient for every parameter; zero where the loss does not depend on it."""
    gradients = torch.autograd.grad(loss, tuple(params.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(params, gradients, strict=True))


def added(total: Tensors, more: Tensors) -> dict[str, Tensor]:
    """The sums by name; an empty total counts as zeros."""
    return {name: total[name] + value for name, value in more.items()} if total else dict(more)
