"""Episodes, the map over tasks, and what was meta-learnt for a backbone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from learnd.learning.contract.meta_learner import backbone_parameters, for_backbone, over_tasks
from learnd_plugins.maml import Maml
from tests.learning.episodes import episodes
from tests.tiny import tiny_backbone


def test_split_keeps_the_tasks_their_order_and_the_progress() -> None:
    batch = episodes(tasks=5, progress=0.25)
    parts = batch.split(2)
    assert [len(part) for part in parts] == [2, 2, 1]
    assert all(part.ways == 3 and part.progress == 0.25 for part in parts)
    for whole, *pieces in zip(batch.tensors, *(part.tensors for part in parts), strict=True):
        assert torch.equal(torch.cat(pieces), whole)


def test_over_tasks_is_the_mean_over_the_tasks() -> None:
    batch = episodes(tasks=3)

    def task_loss(support: Tensor, labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
        return support.float().mean() * labels.sum() - query.float().mean() * query_labels.sum()

    one_by_one = torch.stack([over_tasks(task_loss, part) for part in batch.split(1)])
    assert len(one_by_one.unique()) == 3
    assert torch.allclose(over_tasks(task_loss, batch), one_by_one.mean())


def test_the_networks_own_parameters_go_out_and_come_back_under_their_names() -> None:
    backbone = tiny_backbone()
    copies = backbone_parameters(backbone)
    back = for_backbone({**copies, "log_scale": torch.zeros(())})
    assert back.keys() == dict(backbone.module.named_parameters()).keys()
    copies["backbone.0.weight"].zero_()
    assert bool(backbone.module.get_parameter("0.weight").any()), "the copy is the network's own"


def test_what_was_meta_learnt_for_the_backbone_replaces_the_start() -> None:
    learnt = {"maml": {"log_scale": torch.tensor(2.0)}, "fomaml": {"log_scale": torch.tensor(3.0)}}
    meta = Maml().meta_of(replace(tiny_backbone(), meta=learnt))
    assert meta["log_scale"] == 2.0
    assert meta.keys() == Maml().meta_parameters(tiny_backbone()).keys()
    assert Maml().meta_of(tiny_backbone())["log_scale"] == 0.0
