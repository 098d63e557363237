"""On a GPU, where there is one: every algorithm says what it says on a CPU, and a recorded step is the step itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from learnd.learning.contract.algorithm import Algorithm, HeadAlgorithm, Support
from learnd.learning.contract.meta_learner import MetaLearner
from learnd.learning.jobs.candidate_network import Lesson, train_candidate
from learnd.learning.metatraining import episodes as drawing
from learnd.learning.metatraining.adapter_training import RECIPE, Plan, train_adapter
from learnd.learning.metatraining.corpus import ImageDomain
from learnd.learning.metatraining.cuda_graphs import WARM, Recordings
from learnd.learning.metatraining.episodes import Sampling
from learnd.learning.metatraining.meta_gradient import MetaGradient
from learnd.learning.metatraining.objective import meta_train
from learnd.learning.metatraining.outer_loop import Run
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec
from learnd.settings.meta_training_recipe import Recipe
from tests.learning.domains import stripes
from tests.learning.drawn import random_conv4, random_lite0_meta
from tests.learning.episodes import episodes
from tests.tiny import context, striped, tiny_backbone, tiny_support

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")

GPU = torch.device("cuda:0")
ALGORITHMS = load_catalogue(None, {}).algorithms
LEARNERS = {name: one for name, one in ALGORITHMS.items() if isinstance(one, MetaLearner)}


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """In whole float32, so that what differs is a defect and no rounding."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def there(backbone: Backbone) -> Backbone:
    return replace(backbone, module=copy.deepcopy(backbone.module).to(GPU), device=GPU)


def said(algorithm: Algorithm, backbone: Backbone, support: Support, images: Tensor) -> Tensor:
    """The logits of the images by what it learns from the support."""
    state = algorithm.adapt(backbone, support, context())
    if isinstance(algorithm, HeadAlgorithm) and algorithm.reads_features(backbone):
        return algorithm.score(state, backbone.embed(images)).cpu()
    return algorithm.predict(backbone, state, images).cpu()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_says_of_every_image_what_it_says_on_a_cpu(name: str) -> None:
    here, far = tiny_backbone(), there(tiny_backbone())
    support = tiny_support(here)
    moved = Support(support.images.to(GPU), support.features.to(GPU), support.labels.to(GPU), support.ways)
    images, _ = striped(3, 5, seed=9)
    expected = said(ALGORITHMS[name], here, support, images)
    found = said(ALGORITHMS[name], far, moved, images.to(GPU))
    assert torch.equal(found.argmax(1), expected.argmax(1))
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_recorded_meta_gradient_is_that_of_the_cpu(name: str) -> None:
    learner = LEARNERS[name]
    some = episodes(tasks=2)
    batches = [replace(some, support=some.support + number) for number in range(WARM + 4)]

    def gradients(backbone: Backbone, recordings: Recordings | None) -> list[dict[str, Tensor]]:
        params = {key: value.requires_grad_() for key, value in learner.meta_of(backbone).items()}
        work = MetaGradient(learner, backbone, "loop", "off", recordings)
        backbone.module.train(learner.batch_statistics)
        found = [work.of(params, batch.to(backbone.device), context())[1] for batch in batches]
        return [{key: value.cpu() for key, value in slopes.items()} for slopes in found]

    lines: list[str] = []
    recordings = Recordings(lines.append)
    expected = gradients(tiny_backbone(), None)
    found = gradients(there(tiny_backbone()), recordings)
    assert not lines, "every algorithm of ours can be recorded"
    assert all(trial.over for trial in recordings.trials.values())
    for one, other in zip(found, expected, strict=True):
        for key, value in other.items():
            torch.testing.assert_close(one[key], value, rtol=1e-2, atol=1e-4)


def test_work_that_reads_a_value_goes_on_as_it_was() -> None:
    lines: list[str] = []
    recordings = Recordings(lines.append)

    def work(tensors: Sequence[Tensor]) -> list[Tensor]:
        return [tensors[0] * float(tensors[0].sum())]

    for number in range(WARM + 3):
        (found,) = recordings.run("reads", [torch.full((2,), float(number), device=GPU)], work)
        assert found.tolist() == [2.0 * number * number] * 2
    assert len(lines) == 1
    assert "cannot be recorded" in lines[0]


def test_recorded_work_sees_what_was_written_over_its_weights_and_may_write_itself() -> None:
    weight, count = torch.ones(3, device=GPU), torch.zeros((), device=GPU)

    def work(tensors: Sequence[Tensor]) -> list[Tensor]:
        count.add_(1)
        return [tensors[0] * weight]

    recordings = Recordings()
    results = []
    for number in range(WARM + 4):
        weight.fill_(number)
        results += recordings.run("scaled", [torch.full((3,), 2.0, device=GPU)], work)
    assert [result[0].item() for result in results] == [2.0 * number for number in range(WARM + 4)]
    assert count.item() == WARM + 4


def test_tasks_are_drawn_as_on_a_cpu() -> None:
    sampling = Sampling(tasks=2, ways=(3,), shots=(1, 2), queries=2)
    near, far = (ImageDomain("d", stripes().to(device)) for device in (torch.device("cpu"), GPU))
    one, other = (drawing.sample([each], sampling, torch.Generator().manual_seed(5)) for each in (near, far))
    assert all(torch.equal(a, b.cpu()) for a, b in zip(one.tensors, other.tensors, strict=True))


@pytest.mark.parametrize("name", ["protonet", "maml"])
def test_a_training_runs_there_and_goes_on_from_its_snapshot(name: str, tmp_path: Path) -> None:
    recipe = Recipe(steps=10, meta_batch=2, ways=(3,), shots=(1,), queries=2, validate_every=5, validation_episodes=3)
    domain = [ImageDomain("d", stripes().to(GPU), "glyphs")]
    snapshot = tmp_path / "snapshot.safetensors"
    asked = iter([False] * 6 + [True])
    half = meta_train(
        LEARNERS[name], there(tiny_backbone()), domain, domain, recipe, Run(snapshot, stop=lambda: next(asked))
    )
    whole = meta_train(LEARNERS[name], there(tiny_backbone()), domain, domain, recipe, Run(snapshot))
    assert (half.step, whole.step, len(whole.curve)) == (6, 10, 2)


def test_an_adapter_is_trained_there(tmp_path: Path) -> None:
    path = random_lite0_meta(tmp_path / "lite0-meta.safetensors")
    trunk = load_backbone(BackboneSpec("lite0-meta", str(path)), GPU)
    classes = replace(stripes(), images=torch.nn.functional.interpolate(stripes().images.float(), 128).to(torch.uint8))
    plan = Plan(size=32, stages=2, features=48, rank=2)
    recipe = replace(RECIPE, steps=2, ways=(4,), queries=2, validate_every=2, validation_episodes=2, validation_ways=3)
    adapter, trained = train_adapter("d", trunk, (classes, classes), plan, recipe, Run())
    assert trained.finished
    assert all(bool(value.isfinite().all()) for value in adapter.tensors.values())
    assert load_backbone(BackboneSpec("lite0-meta", str(path)), GPU).adapters  # those that it has work there as well


def test_what_is_remembered_on_the_cpu_trains_a_network_there(tmp_path: Path) -> None:
    backbone = load_backbone(BackboneSpec("conv4", str(random_conv4(tmp_path / "conv4.safetensors"))), GPU)
    images = torch.randint(256, (6, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    lesson = Lesson("a", IDENTITY, images, torch.arange(2).repeat_interleave(3))
    made = train_candidate(backbone, LEARNERS["protonet"], [lesson], WARM + 3, 1, Run())
    assert made.backbone.hash != backbone.hash
    assert made.backbone.device == GPU
