"""Classes are read from folders and archives alike, and those that validate are never trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from learnd.errors import ImageError, LearndError, SettingsError
from learnd.learning.metatraining.corpus import ImageClasses, hold_back, read_classes, read_corpus, with_turns
from learnd.learning.networks.conv4 import GLYPHS
from learnd.settings.meta_training_recipe import Corpus, DomainSpec
from tests.learning.domains import stripes
from tests.learning.drawn import glyph_root

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return glyph_root(tmp_path_factory.mktemp("glyphs"))


@pytest.fixture(scope="module")
def classes(root: Path) -> ImageClasses:
    return read_classes([root], GLYPHS)


def test_a_root_is_read_as_groups_of_classes(classes: ImageClasses) -> None:
    assert classes.images.shape == (96, 1, 28, 28)
    assert classes.images.dtype == torch.uint8
    assert classes.sizes.tolist() == [6] * 16
    assert classes.groups.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert classes.names[:5] == ("group0/class0", "group0/class1", "group0/class2", "group0/class3", "group1/class0")


def test_an_archive_of_it_is_the_same_also_with_a_folder_around_it(
    root: Path, classes: ImageClasses, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "wrapped" / "images")
    (tmp_path / "wrapped" / "images" / "._noise.png").write_bytes(b"no image")
    plain = Path(shutil.make_archive(str(tmp_path / "plain"), "zip", root))
    wrapped = Path(shutil.make_archive(str(tmp_path / "around"), "zip", tmp_path / "wrapped"))
    for archive in (plain, wrapped):
        read = read_classes([archive], GLYPHS)
        assert read.names == classes.names
        assert torch.equal(read.images, classes.images)


def test_classes_without_groups_are_one_group(root: Path) -> None:
    read = read_classes([root / "group1"], GLYPHS)
    assert read.names == ("class0", "class1", "class2", "class3")
    assert read.groups.tolist() == [0] * 4


def test_several_roots_are_one_domain(root: Path, classes: ImageClasses, tmp_path: Path) -> None:
    for part in ("group0", "group3"):
        shutil.copytree(root / part, tmp_path / "one" / part)
    for part in ("group1", "group2"):
        shutil.copytree(root / part, tmp_path / "two" / part)
    read = read_classes([tmp_path / "one", tmp_path / "two"], GLYPHS)
    assert read.names == classes.names
    assert read.groups.tolist() == classes.groups.tolist()
    assert torch.equal(read.images[read.rows[5]], classes.images[classes.rows[5]])


def test_turned_classes_are_classes_of_their_own_in_the_same_group(classes: ImageClasses) -> None:
    turned = with_turns(classes, 4)
    assert len(turned) == len(set(turned.names)) == 64
    assert turned.groups.tolist() == classes.groups.tolist() * 4
    first, quarter = turned.images[turned.rows[0][0]], turned.images[turned.rows[16][0]]
    assert torch.equal(torch.rot90(first, 1, (1, 2)), quarter)


def test_whole_groups_are_held_back_and_of_one_group_the_last_classes() -> None:
    train, held = hold_back(stripes(8, groups=4), 0.3)
    assert train.names == ("g0/c0", "g0/c1", "g1/c2", "g1/c3", "g2/c4", "g2/c5")
    assert held.names == ("g3/c6", "g3/c7")
    train, held = hold_back(stripes(8, groups=1), 0.3)
    assert (len(train), held.names) == (6, ("g0/c6", "g0/c7"))
    for classes, share in ((stripes(8), 0.0), (stripes(3, groups=1), 0.5)):
        train, held = hold_back(classes, share)
        assert (len(train), len(held)) == (len(classes), 0)


def test_a_split_says_what_trains_and_what_validates_and_what_it_tests_on_is_not_read(
    root: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "images"
    shutil.copytree(root, broken)
    (broken / "group3" / "class3" / "0.png").write_bytes(b"no image")  # it would be an error to read it
    parts = {
        "train": ["group0/class0", "group1/class1", "group2/class0"],
        "validation": ["group3/class0", "group3/class1"],
        "test": ["group3/class3"],
    }
    (tmp_path / "split.json").write_text(json.dumps(parts))
    corpus = Corpus((DomainSpec((str(broken),), "glyphs", 2),), split=str(tmp_path / "split.json"), per_class=4)
    (training,), (validation,) = read_corpus(corpus, GLYPHS, CPU)
    assert training.classes.names[:3] == tuple(parts["train"])
    assert len(training.classes) == 6
    assert training.augment == "glyphs"
    assert validation.classes.names == tuple(parts["validation"])
    assert validation.augment == "none"
    assert validation.classes.sizes.tolist() == [4, 4]


def test_roots_of_their_own_validate_and_then_nothing_is_held_back(
    root: Path, classes: ImageClasses, tmp_path: Path
) -> None:
    shutil.copytree(root / "group1", tmp_path / "unseen" / "group1")
    own = ((str(tmp_path / "unseen"),), (str(root / "group2"), str(root / "group3")))
    corpus = Corpus((DomainSpec((str(root),), "glyphs", 4),), held_back=0.5, per_class=2, validation=own)
    (training,), validation = read_corpus(corpus, GLYPHS, CPU)
    assert training.classes.names[:16] == classes.names
    assert [domain.name for domain in validation] == ["unseen", "group2+group3"]
    assert validation[0].classes.names == tuple(f"group1/class{k}" for k in range(4))
    assert validation[0].augment == "none"
    assert validation[0].classes.sizes.tolist() == [2] * 4


def test_only_one_may_say_what_validates(root: Path, tmp_path: Path) -> None:
    parts = {"train": ["group0/class0", "group0/class1"], "validation": ["group1/class0", "group1/class1"]}
    (tmp_path / "split.json").write_text(json.dumps(parts))
    both = Corpus((DomainSpec((str(root),)),), split=str(tmp_path / "split.json"), validation=((str(root),),))
    with pytest.raises(SettingsError, match="as --validation does"):
        read_corpus(both, GLYPHS, CPU)
    (tmp_path / "split.json").write_text(json.dumps({"train": parts["train"]}))
    (training,), (validation,) = read_corpus(both, GLYPHS, CPU)
    assert (len(training.classes), len(validation.classes)) == (2, 16)


def test_a_split_of_other_data_is_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": ["group0/class0", "nowhere/at all"]}))
    with pytest.raises(LearndError, match="1 of its 2 classes are not in the data, for one 'nowhere/at all'"):
        read_corpus(Corpus((DomainSpec((str(root),)),), split=str(tmp_path / "split.json")), GLYPHS, CPU)


@pytest.mark.parametrize("content", ["[1, 2]", "{}", "no json", None])
def test_a_split_that_is_none(content: str | None, root: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "split.json").write_text(content)
    with pytest.raises(LearndError, match=r"split\.json"):
        read_corpus(Corpus((DomainSpec((str(root),)),), split=str(tmp_path / "split.json")), GLYPHS, CPU)


def test_what_is_no_root_of_classes_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    for place in ("missing", "text.zip"):
        with pytest.raises(LearndError, match=f"{place}: cannot be read"):
            read_classes([tmp_path / place], GLYPHS)
    with pytest.raises(LearndError, match="holds no image of a class"):
        read_classes([root / "group0" / "class0"], GLYPHS)
    (tmp_path / "set" / "class").mkdir(parents=True)
    (tmp_path / "set" / "class" / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"class/a\.png: is not an image"):
        read_classes([tmp_path / "set"], GLYPHS)
