"""The committed splits are those that their generator makes, and no class is on both sides."""

from __future__ import annotations

import pytest

from benchmarks.splits import folders, hashed_halves, read_split
from tests.data import data_folder, requires_data


def test_halves_by_hash_do_not_depend_on_the_order() -> None:
    names = ["a", "b", "c", "d", "e"]
    split = hashed_halves(names)
    assert split == hashed_halves(names[::-1])
    assert sorted(split["train"] + split["test"]) == names
    assert (len(split["train"]), split["validation"]) == (2, [])


@pytest.mark.parametrize("name", ["omniglot-random", "chula-rbc"])
def test_no_class_trains_and_tests(name: str) -> None:
    split = read_split(name)
    every = [kind for part in split.values() for kind in part]
    assert len(every) == len(set(every)) > 0


@requires_data("chula-rbc")
def test_the_cells_are_split_as_the_generator_says() -> None:
    assert read_split("chula-rbc") == hashed_halves(folders(data_folder() / "chula-rbc" / "images.zip"))
