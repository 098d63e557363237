"""What a task to train on is: different images of different classes, of one domain, of one size a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from learnd.errors import LearndError
from learnd.learning.metatraining.corpus import ImageDomain
from learnd.learning.metatraining.episodes import Candidates, Sampling, check, of_validation, sample
from learnd.settings.meta_training_recipe import Recipe
from tests.learning.domains import stripes, tiny_domains

SAMPLING = Sampling(tasks=3, ways=(2, 4), shots=(1, 2), queries=3)
DOMAIN = ImageDomain("stripes", stripes(8, 8))


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_batch_has_tasks_of_one_size_and_the_sizes_vary() -> None:
    sizes = set()
    for seed in range(30):
        batch = sample([DOMAIN], SAMPLING, generator(seed))
        shots = batch.support.shape[1] // batch.ways
        sizes.add((batch.ways, shots))
        assert batch.support.shape == (3, batch.ways * shots, 1, 12, 12)
        assert batch.query.shape == (3, batch.ways * 3, 1, 12, 12)
        assert batch.support_labels.tolist() == [torch.arange(batch.ways).repeat_interleave(shots).tolist()] * 3
    assert sizes == {(2, 1), (2, 2), (4, 1), (4, 2)}


def test_no_image_is_twice_in_a_task_and_a_class_is_one_class() -> None:
    batch = sample([DOMAIN], SAMPLING, generator())
    known = {image.numpy().tobytes(): int(row) // 8 for row, image in enumerate(DOMAIN.classes.images)}
    for support, labels, query, query_labels in zip(*batch.tensors, strict=True):
        pixels = [image.numpy().tobytes() for image in torch.cat([support, query])]
        assert len(set(pixels)) == len(pixels)
        of_label: dict[int, set[int]] = {}
        for image, label in zip(pixels, torch.cat([labels, query_labels]).tolist(), strict=True):
            of_label.setdefault(label, set()).add(known[image])
        assert all(len(classes) == 1 for classes in of_label.values())
        assert len(set.union(*of_label.values())) == batch.ways


def test_a_hard_task_comes_from_as_few_groups_as_give_enough_classes() -> None:
    hard = replace(SAMPLING, hard=1.0)
    for ways, groups in [(2, 1), (3, 2), (8, 4)]:
        for seed in range(5):
            chosen = Candidates.of(DOMAIN.classes, 4).draw(hard, ways, generator(seed))
            assert len(chosen) == ways
            assert len(DOMAIN.classes.groups[chosen].unique()) == groups


def test_half_of_the_tasks_may_be_hard() -> None:
    half, hard = replace(SAMPLING, hard=0.5), 0
    for seed in range(200):
        chosen = Candidates.of(DOMAIN.classes, 4).draw(half, 2, generator(seed))
        hard += len(DOMAIN.classes.groups[chosen].unique()) == 1
    assert 80 < hard < 140  # of the easy ones, a seventh is of one group, too


def test_domains_are_never_mixed() -> None:
    bright = replace(DOMAIN.classes, images=DOMAIN.classes.images // 2 + 128)
    dark = replace(DOMAIN.classes, images=DOMAIN.classes.images // 2)
    kinds = set()
    for seed in range(10):
        batch = sample([ImageDomain("dark", dark), ImageDomain("bright", bright)], SAMPLING, generator(seed))
        pixels = torch.cat([batch.support.flatten(), batch.query.flatten()])
        kinds.add((bool((pixels < 128).all()), bool((pixels >= 128).all())))
    assert kinds == {(True, False), (False, True)}


def test_the_same_generator_draws_the_same_and_augmented_images_are_floats() -> None:
    glyphs = replace(DOMAIN, augment="glyphs")
    one, two = sample([glyphs], SAMPLING, generator()), sample([glyphs], SAMPLING, generator())
    assert one.support.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(one.tensors, two.tensors, strict=True))


def test_few_classes_make_smaller_tasks_and_too_small_ones_are_an_error() -> None:
    assert sample([DOMAIN], replace(SAMPLING, ways=(60,)), generator()).ways == 8
    check([DOMAIN], SAMPLING)
    with pytest.raises(LearndError, match=r"data stripes: 0 of 8 classes have the 12 images of a task") as caught:
        check([DOMAIN], replace(SAMPLING, queries=10))
    assert "--queries" in (caught.value.remedy or "")


def test_a_validation_takes_as_many_queries_as_there_are_images_for() -> None:
    _, validation = tiny_domains()
    assert of_validation(Recipe(queries=15, validation_shots=5), validation).queries == 3
    assert of_validation(Recipe(queries=2, validation_shots=5), validation).queries == 2
