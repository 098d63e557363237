"""Matching Networks: attention by hand, nearest neighbour as its limit, full context embeddings by torch's LSTMs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learnd_plugins.matching import Matching, attend, full_context, read_memory
from tests.tiny import context

WIDTH = 6
OWNERS = torch.tensor([0, 0, 1, 2, 2, 2])
WEIGHTS = {name: value * 3 for name, value in Matching(context=True).head_parameters(WIDTH).items()}


def drawn(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def test_the_probability_of_a_class_is_the_attention_of_its_images() -> None:
    memory, query = drawn(6), drawn(4, seed=1)
    matching = Matching()
    state = matching.fit(memory, OWNERS, 3, context())
    for x, logits in zip(query, matching.score(state, query), strict=True):
        cosines = [float(x @ m / x.norm() / m.norm()) for m in memory]
        attention = torch.tensor([float(state["scale"]) * cosine for cosine in cosines]).softmax(0)
        sums = torch.stack([attention[OWNERS.eq(k)].sum() for k in range(3)])
        assert torch.allclose(logits.exp(), sums, atol=1e-5)


def test_one_image_a_class_and_sharp_attention_is_the_nearest_neighbour() -> None:
    memory, query = drawn(5), drawn(50, seed=1)
    sharp = {"log_scale": torch.tensor(1e4).log()}
    matching = Matching()
    state = matching.fit(memory, torch.arange(5), 5, replace(context(), meta=sharp))
    logits = matching.score(state, query)
    nearest = torch.cdist(F.normalize(query, dim=1), F.normalize(memory, dim=1)).argmin(1)
    assert torch.equal(logits.argmax(1), nearest)
    assert logits.isfinite().all()
    assert logits.softmax(1).amax(1).median() > 0.999


def test_attention_that_underflows_is_still_a_finite_logit() -> None:
    logits = attend(torch.tensor([[500.0, -500.0, -400.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    assert logits.isfinite().all()
    assert logits.tolist()[0] == pytest.approx([0.0, -900.0])


def test_the_scale_is_the_one_at_which_images_left_out_are_told_best() -> None:
    labels = torch.arange(3).repeat_interleave(4)
    apart = F.one_hot(labels, WIDTH).float() * 6
    scales = [float(Matching().fit(apart + noise * drawn(12), labels, 3, context())["scale"]) for noise in (0.3, 9.0)]
    assert scales[0] > 2 * scales[1]


def test_full_context_is_what_a_bidirectional_lstm_of_torch_adds() -> None:
    lstm = nn.LSTM(WIDTH, WIDTH, bidirectional=True)
    for suffix, name in (("l0", "forward"), ("l0_reverse", "backward")):
        getattr(lstm, f"weight_ih_{suffix}").data = WEIGHTS[f"{name}.input"]
        getattr(lstm, f"weight_hh_{suffix}").data = WEIGHTS[f"{name}.hidden"]
        getattr(lstm, f"bias_ih_{suffix}").data = WEIGHTS[f"{name}.bias"]
        getattr(lstm, f"bias_hh_{suffix}").data.zero_()
    support = drawn(6)
    order = support.sum(1).argsort()
    said, _ = lstm(support[order])  # (N, 2 D)
    assert torch.allclose(full_context(support, WEIGHTS)[order], support[order] + said[:, :WIDTH] + said[:, WIDTH:])


def test_a_query_reads_the_memory_as_the_paper_says() -> None:
    """Equations 3 to 6 of the paper with torch's own cell, whose hidden state is padded to hold [h, r]."""
    cell = nn.LSTMCell(WIDTH, 2 * WIDTH)
    rows = torch.cat([torch.arange(gate * 2 * WIDTH, gate * 2 * WIDTH + WIDTH) for gate in range(4)])
    for parameter in cell.parameters():
        parameter.data.zero_()
    cell.weight_ih.data[rows], cell.weight_hh.data[rows] = WEIGHTS["read.input"], WEIGHTS["read.hidden"]
    memory, query = drawn(6), drawn(4, seed=1)
    hidden, read, state = query, torch.zeros(4, WIDTH), torch.zeros(4, 2 * WIDTH)
    for _ in range(3):
        said, state = cell(query, (torch.cat([hidden, read], 1), state))
        hidden = said[:, :WIDTH] + query
        read = torch.stack([(h @ memory.T / WIDTH**0.5).softmax(0) @ memory for h in hidden])
    assert torch.allclose(read_memory(query, memory, WEIGHTS, 3), hidden, atol=1e-5)


def test_full_context_is_off_where_nothing_was_meta_learnt() -> None:
    memory = drawn(6)
    plain, full = (Matching(context=on).fit(memory, OWNERS, 3, context()) for on in (False, True))
    assert plain.keys() == full.keys()
    assert torch.equal(full["memory"], memory)


@pytest.mark.parametrize("full", [False, True])
def test_neither_the_order_of_the_support_nor_other_queries_matter(full: bool) -> None:
    matching = Matching(context=full)
    learnt = replace(context(), meta={**matching.head_parameters(WIDTH), **(WEIGHTS if full else {})})
    memory, query = drawn(6), drawn(4, seed=1)
    logits = matching.score(matching.fit(memory, OWNERS, 3, learnt), query)
    order = torch.tensor([3, 5, 0, 2, 1, 4])
    again = matching.fit(memory[order], OWNERS[order], 3, learnt)
    assert ("read.bias" in again) == full
    assert torch.allclose(matching.score(again, query), logits, atol=1e-4)
    assert torch.allclose(matching.score(again, query[2:3]), logits[2:3], atol=1e-4)


def test_a_memory_is_read_at_least_once() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Matching(reads=0)
