"""Matching Networks: attention over the support, which is kept as a memory.

Vinyals et al. 2016, "Matching Networks for One Shot Learning" (arXiv:1606.04080).  The probability of a class is the
attention that its support images get, by a softmax of cosines.  Full context embeddings (appendix A) let what is
kept of a support image depend on the others (a bidirectional LSTM, g), and what is kept of a query on the memory (an
LSTM with attention, f); their weights are meta-learnt.  A query never sees another query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.plugin import (
    LOG_SCALE,
    Algorithm,
    Bid,
    Context,
    HeadLearner,
    State,
    Task,
    Tensors,
    held_out_losses,
    hookimpl,
    seconds_for,
)

COSINE_SCALES = torch.logspace(0, 2, 21)  # of the cosines
DEFAULT_COSINE_SCALE = 10.0  # the scale where every class has one image
FORWARD, BACKWARD, READ = "forward", "backward", "read"  # the three LSTMs


@dataclass(frozen=True)
class Matching(HeadLearner):
    """Attention over the support.

    context: full context embeddings, used where their weights were meta-learnt for the backbone.
    reads: how many times a query reads the memory before it is compared with it.
    """

    name: ClassVar[str] = "matching"
    summary: ClassVar[str] = "attention over the support images, kept as a memory"
    paper: ClassVar[str] = "Vinyals et al. 2016, arXiv:1606.04080"

    context: bool = False
    reads: int = 5

    def __post_init__(self) -> None:
        if self.reads < 1:
            raise ValueError("reads must be at least 1")

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row matching.
        shots = task.images / task.ways
        score = 0.7 if self.name in task.meta_learnt else 0.45
        tried = len(COSINE_SCALES) * (
            task.ways + 16
        )  # of each pair of images, an exponential being worth some 16 products
        macs = task.images**2 * (2 * task.features + tried)
        if self.context:
            macs += 16 * task.images * task.features**2
        reason = f"every one of {task.images} images votes, and {shots:.1f} a class stand for it"
        return Bid(score, reason, 8e-3 + seconds_for(macs, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        learnt = self._recurrent(ctx.meta)
        memory = full_context(features, learnt) if learnt else features  # (N, D)
        scale = ctx.meta[LOG_SCALE].exp() if ctx.meta else torch.tensor(DEFAULT_COSINE_SCALE, device=features.device)
        many = torch.bincount(labels, minlength=ways)[labels] > 1  # (N,)
        if not learnt and bool(many.any()):
            scale = _measured(memory, labels, ways, many)
        reader = {name: value for name, value in learnt.items() if name.startswith(READ)}
        return {"memory": memory, "member": F.one_hot(labels, ways).to(memory.dtype), "scale": scale, **reader}

    def score(self, state: State, features: Tensor) -> Tensor:
        query = self._query(features, state["memory"], state)
        return attend(_cosines(query, state["memory"]) * state["scale"], state["member"])

    def head_parameters(self, width: int) -> dict[str, Tensor]:
        start = {LOG_SCALE: torch.tensor(DEFAULT_COSINE_SCALE).log()}
        if self.context:
            generator = torch.Generator().manual_seed(0)
            for lstm, hidden in ((FORWARD, width), (BACKWARD, width), (READ, 2 * width)):
                for part, size in (("input", width), ("hidden", hidden)):
                    weight = torch.rand(4 * width, size, generator=generator) * 2 - 1
                    start[f"{lstm}.{part}"] = weight / width**0.5
                start[f"{lstm}.bias"] = torch.zeros(4 * width)
        return start

    def episode_logits(self, support: Tensor, labels: Tensor, query: Tensor, ways: int, meta: Tensors) -> Tensor:
        learnt = self._recurrent(meta)
        memory = full_context(support, learnt) if learnt else support  # (N, D)
        cosines = _cosines(self._query(query, memory, learnt), memory)  # (M, N)
        return attend(cosines * meta[LOG_SCALE].exp(), F.one_hot(labels, ways).to(memory.dtype))

    def _recurrent(self, meta: Tensors) -> Tensors:
        """The weights of the LSTMs; none where full context embeddings are off, or were not meta-learnt."""
        if not self.context:
            return {}
        return {name: value for name, value in meta.items() if name.split(".")[0] in (FORWARD, BACKWARD, READ)}

    def _query(self, features: Tensor, memory: Tensor, weights: Tensors) -> Tensor:
        return read_memory(features, memory, weights, self.reads) if f"{READ}.bias" in weights else features


def attend(similarities: Tensor, member: Tensor) -> Tensor:
    """The logarithm of each class's share of the attention.

    similarities (M, N), of each row one in each class finite; member: one-hot float (N, K), each class at least once
    -> (M, K), finite.
    """
    owner = member.argmax(1).expand_as(similarities)  # (M, N)
    shape = (len(similarities), member.shape[1])
    nothing = torch.full(shape, -torch.inf, dtype=similarities.dtype, device=similarities.device)
    highest = nothing.scatter_reduce(1, owner, similarities.detach(), "amax")  # (M, K), so that no sum is 0
    share = (similarities - highest.gather(1, owner)).exp() @ member  # (M, K)
    return (share.log() + highest).log_softmax(1)


def full_context(features: Tensor, weights: Tensors) -> Tensor:
    """g: each support feature, and what two LSTMs that pass over the support say beside it; (N, D) -> (N, D).

    The support has no order.  Here it is that of the features' sums: not that in which the images came.
    """
    order = features.sum(1).argsort()  # (N,)
    ordered = features[order]
    ahead = _pass_over(ordered, weights, FORWARD)
    back = _pass_over(ordered.flip(0), weights, BACKWARD).flip(0)
    return (ordered + ahead + back)[order.argsort()]


def read_memory(query: Tensor, memory: Tensor, weights: Tensors, reads: int) -> Tensor:
    """f: each query after an LSTM has read the memory with attention; (M, D), (N, D) -> (M, D)."""
    width = query.shape[1]
    hidden, read, cell = query, torch.zeros_like(query), torch.zeros_like(query)
    for _ in range(reads):
        said, cell = _lstm_step(query, torch.cat([hidden, read], 1), cell, weights, READ)
        hidden = said + query
        attention = (hidden @ memory.T / width**0.5).softmax(1)  # (M, N)
        read = attention @ memory  # (M, D)
    return hidden


def _pass_over(sequence: Tensor, weights: Tensors, lstm: str) -> Tensor:
    """What an LSTM says of each row (N, D), having seen those before it."""
    hidden = cell = torch.zeros_like(sequence[:1])
    said: list[Tensor] = []
    for row in sequence.split(1):
        hidden, cell = _lstm_step(row, hidden, cell, weights, lstm)
        said.append(hidden)
    return torch.cat(said)


def _lstm_step(x: Tensor, hidden: Tensor, cell: Tensor, weights: Tensors, lstm: str) -> tuple[Tensor, Tensor]:
    """Hochreiter and Schmidhuber 1997; the gates in the order of torch.nn.LSTMCell."""
    gates = x @ weights[f"{lstm}.input"].T + hidden @ weights[f"{lstm}.hidden"].T + weights[f"{lstm}.bias"]
    enter, forget, new, out = gates.chunk(4, 1)  # each (M, D)
    cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return out.sigmoid() * cell.tanh(), cell


def _cosines(query: Tensor, memory: Tensor) -> Tensor:
    return F.normalize(query, dim=1) @ F.normalize(memory, dim=1).T  # (M, N)


def _measured(memory: Tensor, labels: Tensor, ways: int, many: Tensor) -> Tensor:
    """The scale at which each image that its class can spare is classified best by the others."""
    cosines = _cosines(memory, memory)
    member = F.one_hot(labels, ways).to(memory.dtype)
    alone = cosines.masked_fill(torch.eye(len(labels), dtype=torch.bool, device=labels.device), -torch.inf)
    held_out = [attend(alone[many] * scale, member) for scale in COSINE_SCALES.to(memory.device)]
    one = torch.ones(1, device=memory.device)
    losses = torch.stack([held_out_losses(logits, labels[many], one)[0] for logits in held_out])  # (S,)
    return COSINE_SCALES.to(memory.device)[losses.argmin()]


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Matching]
