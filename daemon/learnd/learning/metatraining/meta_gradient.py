"""The gradient of an algorithm's meta-loss over a batch of tasks, as the device does it best.

The batch is cut into chunks that fit, and their gradients are summed, so the size of a chunk changes the memory and
the speed but not the gradient.  On a CPU every core takes chunks of its own; they are summed in their order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor

from learnd.learning.contract.algorithm import Context
from learnd.learning.contract.meta_learner import Episodes, MetaLearner
from learnd.learning.metatraining.batching import added, chunk_size, cores_for, gradient_of, precision
from learnd.learning.metatraining.core_threads import CoreThreads
from learnd.learning.metatraining.cuda_graphs import Recordings
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors


@dataclass(frozen=True)
class MetaGradient:
    """batching: "auto" | "loop" | "vmap:<n>"; amp: "auto" | "off"; recordings: None if nothing is to be recorded."""

    learner: MetaLearner
    backbone: Backbone
    batching: str = "auto"
    amp: str = "auto"
    recordings: Recordings | None = field(default_factory=Recordings)

    def of(self, params: Tensors, batch: Episodes, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean meta-loss of the batch, a scalar, and its gradient for every parameter."""
        cores, at_once = cores_for(self.learner, batch), self.learner.at_once(self.backbone, batch)
        works = [
            partial(self._of_part, params, part, len(part) / len(batch), ctx)
            for part in batch.split(chunk_size(self.batching, self.learner, batch, cores, at_once))
        ]
        total: dict[str, Tensor] = {}
        loss = torch.zeros((), device=self.backbone.device)
        for share, slope in self.core_threads.do(works, min(cores, len(works))):
            total = added(total, slope)
            loss = loss + share
        return loss, total

    @cached_property
    def core_threads(self) -> CoreThreads:
        return CoreThreads(self.backbone)

    def _of_part(
        self, params: Tensors, part: Episodes, weight: float, ctx: Context, backbone: Backbone
    ) -> tuple[Tensor, dict[str, Tensor]]:
        def work(tensors: Sequence[Tensor]) -> list[Tensor]:
            support, support_labels, query, query_labels = tensors
            these = Episodes(support, support_labels, query, query_labels, part.ways, part.progress)
            with precision(self.amp, self.learner.batch_statistics, backbone.device):
                share = self.learner.meta_loss(backbone, params, these, ctx) * weight
            return [share.detach(), *gradient_of(share, params).values()]

        if self.recordings is None:
            share, *slopes = work(part.tensors)
        else:
            share, *slopes = self.recordings.run(self._kind(params, part, weight), part.tensors, work)
        return share, dict(zip(params, slopes, strict=True))

    def _kind(self, params: Tensors, part: Episodes, weight: float) -> Hashable | None:
        """Equal for parts whose gradient takes the same operations on the same memory."""
        phase = self.learner.phase(part.progress)
        if phase is None:
            return None
        return phase, part.ways, weight, tuple(value.data_ptr() for value in params.values())
