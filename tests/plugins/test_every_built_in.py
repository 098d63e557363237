"""What every built-in algorithm keeps: the same seed gives the same state, and a prediction stands by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from learnd.learning.algorithm import Algorithm, Support, build, check_logits, check_state, options_of
from learnd.learning.catalogue import load_catalogue
from tests.tiny import context, striped, tiny_backbone, tiny_support, tiny_task

ALGORITHMS = load_catalogue(None, {}).algorithms
BACKBONE = tiny_backbone()

every = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=list(ALGORITHMS))


@every
@pytest.mark.parametrize(("ways", "shots"), [(2, 1), (3, 5), (7, 2), (2, 40)])
def test_any_ways_and_shots_are_learnt(algorithm: Algorithm, ways: int, shots: int) -> None:
    support = tiny_support(BACKBONE, ways, shots)
    state = check_state(algorithm.adapt(BACKBONE.private(), support, context()), algorithm.name)
    for count in (1, 7):
        images = striped(ways, 7, seed=5)[0][:count]
        check_logits(algorithm.predict(BACKBONE, state, images), count, ways, algorithm.name)
    bid = algorithm.bid(tiny_task(support))
    assert 0 < bid.score <= 1
    assert bid.seconds > 0
    assert bid.reason


@every
def test_unbalanced_classes_are_learnt(algorithm: Algorithm) -> None:
    support = tiny_support(BACKBONE, 3, 12, noise=20).take(torch.tensor([0, *range(12, 15), *range(24, 36)]))
    state = algorithm.adapt(BACKBONE.private(), support, context())
    images, labels = striped(3, 10, seed=9, noise=20)
    assert (algorithm.predict(BACKBONE, state, images).argmax(1) == labels).float().mean() > 0.6


@every
def test_the_same_seed_gives_the_same_state_bit_for_bit(algorithm: Algorithm) -> None:
    support = tiny_support(BACKBONE)
    first, second = (algorithm.adapt(BACKBONE.private(), support, context(4)) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@every
def test_a_prediction_does_not_depend_on_the_images_beside_it(algorithm: Algorithm) -> None:
    state = algorithm.adapt(BACKBONE.private(), tiny_support(BACKBONE), context())
    images = striped(3, 6, seed=2)[0]
    together = algorithm.predict(BACKBONE, state, images)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(algorithm.predict(BACKBONE, state, images[order]), together[order], atol=1e-4)
    one_by_one = torch.cat([algorithm.predict(BACKBONE, state, image[None]) for image in images])
    assert torch.allclose(one_by_one, together, atol=1e-4)


@every
def test_the_world_is_left_as_it_was(algorithm: Algorithm) -> None:
    support = tiny_support(BACKBONE)
    weights = {name: value.clone() for name, value in BACKBONE.module.state_dict().items()}
    images, features, random = support.images.clone(), support.features.clone(), torch.get_rng_state()
    state = algorithm.adapt(BACKBONE, support, context())
    algorithm.predict(BACKBONE, state, images)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(support.images, images)
    assert torch.equal(support.features, features)
    assert all(torch.equal(value, weights[name]) for name, value in BACKBONE.module.state_dict().items())
    assert not any(value.requires_grad for value in state.values())


ELSEWHERE = """
import json, sys
from safetensors.torch import load_file, save_file
from learnd.learning.algorithm import build
from learnd.learning.catalogue import load_catalogue
from tests.tiny import striped, tiny_backbone
folder = sys.argv[1]
for name, algorithm in load_catalogue(None, {}).algorithms.items():
    algorithm = build(type(algorithm), json.loads(sys.argv[2])[name])
    state = load_file(f"{folder}/{name}.safetensors")
    logits = algorithm.predict(tiny_backbone(), state, striped(3, 4, seed=2)[0])
    save_file({"logits": logits}, f"{folder}/{name}.logits")
"""


@pytest.mark.slow
def test_a_stored_state_predicts_the_same_in_another_process(tmp_path: Path) -> None:
    support, images = tiny_support(BACKBONE), striped(3, 4, seed=2)[0]
    here = {}
    for name, algorithm in ALGORITHMS.items():
        state = algorithm.adapt(BACKBONE.private(), support, context())
        save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / f"{name}.safetensors")
        here[name] = algorithm.predict(BACKBONE, state, images)
        assert build(type(algorithm), options_of(algorithm)) == algorithm
    options = json.dumps({name: options_of(algorithm) for name, algorithm in ALGORITHMS.items()})
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path), options], check=True, cwd=root)
    for name, logits in here.items():
        assert torch.allclose(load_file(tmp_path / f"{name}.logits")["logits"], logits, atol=1e-5)


def test_a_bid_is_cheaper_on_a_faster_device_and_dearer_with_more_images() -> None:
    few, many = (tiny_task(Support(*_numbers(shots), ways=5)) for shots in (5, 60))
    for algorithm in ALGORITHMS.values():
        assert algorithm.bid(few).seconds < algorithm.bid(many).seconds


def _numbers(shots: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images, labels = striped(5, shots)
    return images, BACKBONE.embed(images), labels
