"""How many tasks go through the network at once, and in which number format: by size and device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from learnd.errors import SettingsError
from learnd.learning.contract.meta_learner import Episodes, MetaLearner
from learnd.learning.networks.named_tensors import Tensors

# Measured with conv4 on a CPU: 16 tasks at once are 1.5 to 1.8 times faster than one by one for 5-way 1-shot and one
# inner step (80 images), and slower for 20 ways and 5 steps (1,600), which no longer fit the cache.
CPU_IMAGES, CPU_TASKS = 160, 16
CPU_PIXELS = 4_096 * 28 * 28  # that graphs of some 3 GB hold
GPU_PIXELS = 16_384 * 28 * 28  # that a graph of some 10 GB holds


def cores_for(learner: MetaLearner, episodes: Episodes) -> int:
    """How many cores of a CPU take tasks of their own, each with its share of torch's threads.

    One where batch norm learns, as its statistics are moved by one task after the other; and where what the loss does
    depends on more than the tasks, as random numbers would be drawn in any order.
    """
    if episodes.support.device.type != "cpu" or learner.batch_statistics or learner.phase(episodes.progress) is None:
        return 1
    return max(1, min(torch.get_num_threads(), len(episodes), CPU_PIXELS // _pixels(learner, episodes)))


def chunk_size(
    batching: str, learner: MetaLearner, episodes: Episodes, cores: int = 1, at_once: int | None = None
) -> int:
    """Tasks at once, of a core.  batching: "auto" | "loop" | "vmap:<n>".  at_once: what the algorithm likes best.

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
    pixels = _pixels(learner, episodes)
    if episodes.support.device.type != "cpu":
        return max(1, GPU_PIXELS // pixels)
    if at_once is None:
        at_once = 1 if pixels > CPU_IMAGES * episodes.support.shape[-1] ** 2 else CPU_TASKS
    return max(1, min(at_once, -(-len(episodes) // cores), CPU_PIXELS // (pixels * cores)))


def _pixels(learner: MetaLearner, episodes: Episodes) -> int:
    """Those of a task that its graph holds, step by step."""
    steps = max(1, int(getattr(learner, "steps", 1)))
    images = (episodes.support.shape[1] + episodes.query.shape[1]) * steps
    return images * int(episodes.support.shape[-1]) ** 2


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


def gradient_of(loss: Tensor, params: Tensors) -> dict[str, Tensor]:
    """The gradient for every parameter; zero where the loss does not depend on it."""
    gradients = torch.autograd.grad(loss, tuple(params.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(params, gradients, strict=True))


def added(total: Tensors, more: Tensors) -> dict[str, Tensor]:
    """The sums by name; an empty total counts as zeros."""
    return {name: total[name] + value for name, value in more.items()} if total else dict(more)
