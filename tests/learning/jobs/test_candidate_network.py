"""A candidate network: the shared one trained further on lessons; of one with adapters the trunk stays to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from learnd.errors import TaskError
from learnd.learning.jobs.candidate_network import Lesson, train_candidate
from learnd.learning.metatraining.outer_loop import Run
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import export, load_backbone, with_adapters
from learnd.messages.jobs import BackboneSpec
from learnd_plugins.protonet import ProtoNet
from tests.learning.drawn import random_whole_adapter
from tests.learning.worker_contexts import adaptable_worker, worker_context


def lesson(name: str, channels: int, side: int, shots: int = 3, adapter: str = IDENTITY) -> Lesson:
    """Two classes of noise, one darker."""
    draw = torch.Generator().manual_seed(len(name))
    levels = torch.tensor([60, 160]).repeat_interleave(shots)
    noise = torch.randint(0, 60, (2 * shots, channels, side, side), generator=draw)
    images = (levels.view(-1, 1, 1, 1) + noise).to(torch.uint8)
    return Lesson(name, adapter, images, torch.arange(2).repeat_interleave(shots))


def test_a_network_without_adapters_is_trained_as_a_whole_and_the_same_each_time(tmp_path: Path) -> None:
    old = worker_context(tmp_path).backbone
    lessons = [lesson("a", 1, 28), lesson("bb", 1, 28)]
    first, again = (train_candidate(old, ProtoNet(), lessons, 2, 1, Run()) for _ in range(2))
    assert first.backbone.hash == again.backbone.hash != old.hash
    assert (first.learners, first.changed) == (("a", "bb"), {IDENTITY})


def test_what_comes_out_is_found_again_in_its_file(tmp_path: Path) -> None:
    made = train_candidate(worker_context(tmp_path).backbone, ProtoNet(), [lesson("a", 1, 28)], 1, 1, Run())
    export(made.backbone, tmp_path / "new.safetensors")
    loaded = load_backbone(BackboneSpec("conv4", str(tmp_path / "new.safetensors"), made.backbone.hash))
    images = lesson("c", 1, 28).images
    assert torch.equal(loaded.embed(images), made.backbone.embed(images))


def test_classes_of_one_image_are_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="two images may be learnt from"):
        train_candidate(worker_context(tmp_path).backbone, ProtoNet(), [lesson("a", 1, 28, shots=1)], 1, 1, Run())


def test_without_protonet_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="protonet, which is not loaded"):
        train_candidate(worker_context(tmp_path).backbone, None, [lesson("a", 1, 28)], 1, 1, Run())


@pytest.mark.slow
def test_of_adapters_only_those_in_use_are_trained_and_the_trunk_says_the_same(tmp_path: Path) -> None:
    old = adaptable_worker(tmp_path, radius=2.0).backbone
    plain, glyphs = lesson("a", 3, 128), lesson("bb", 3, 128, adapter="drawn")
    made = train_candidate(old, None, [plain, glyphs], 1, 1, Run())
    assert (made.learners, made.changed) == (("bb",), {"drawn"})
    assert made.backbone.hash != old.hash
    assert torch.equal(made.backbone.embed(plain.images), old.embed(plain.images))
    before, after = (one.adapted("drawn") for one in (old, made.backbone))
    assert not torch.equal(after.embed(plain.images), before.embed(plain.images))
    assert before.adapter is not None
    assert after.adapter is not None
    assert after.adapter.regions == before.adapter.regions
    with pytest.raises(TaskError, match="no task uses an adapter"):
        train_candidate(old, None, [plain], 1, 1, Run())


@pytest.mark.slow
def test_an_adapter_of_the_whole_trunk_is_trained_in_colour_from_where_it_is(tmp_path: Path) -> None:
    trunk = adaptable_worker(tmp_path, radius=2.0).backbone
    old = with_adapters(trunk, [random_whole_adapter(trunk.module, radius=2.0)])
    used = lesson("a", 3, 128, adapter="whole")
    made = train_candidate(old, None, [used], 1, 1, Run())
    before, after = (one.adapted("whole").embed(used.images) for one in (old, made.backbone))
    assert made.changed == {"whole"}
    assert not torch.equal(after, before)
    near, far = (F.cosine_similarity(after, other).mean() for other in (before, old.embed(used.images)))
    assert near > 0.8 > far  # one small step away
