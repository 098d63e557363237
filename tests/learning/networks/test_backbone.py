"""A backbone is frozen, known by its hash, and the same wherever it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from learnd.errors import LearndError, StateError
from learnd.learning.networks.backbone import IMAGES_PER_PASS, Backbone, export, fresh_backbone, load_backbone, trained
from learnd.learning.networks.conv4 import GLYPHS, Conv4
from learnd.learning.networks.zoo import Network, read_tensors
from learnd.messages.jobs import BackboneSpec
from tests.data import requires_data, unpacked
from tests.learning.drawn import random_conv4, random_lite0_meta


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_conv4(tmp_path_factory.mktemp("weights") / "conv4.safetensors")


@pytest.fixture(scope="module")
def conv4(weights: Path) -> Backbone:
    return load_backbone(BackboneSpec("conv4", str(weights)))


@pytest.fixture(scope="module")
def adaptable(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    path = random_lite0_meta(tmp_path_factory.mktemp("meta") / "lite0-meta.safetensors")
    return load_backbone(BackboneSpec("lite0-meta", str(path)))


def glyphs(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def photographs(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_conv4_is_what_it_says(conv4: Backbone) -> None:
    assert (conv4.name, conv4.features) == ("conv4", 256)
    assert sum(parameter.numel() for parameter in conv4.module.parameters()) < 500_000
    assert not any(parameter.requires_grad for parameter in conv4.module.parameters())
    assert not conv4.module.training


def test_multiply_adds_are_counted_by_hand(conv4: Backbone) -> None:
    convolutions = 28**2 * 9 * 32 + 14**2 * 9 * 32 * 64 + 7**2 * 9 * 64 * 128 + 3**2 * 9 * 128 * 256
    assert conv4.macs == convolutions  # the learnt pooling is a product and a sum


def test_blocks_are_prefixes_of_every_parameter_last_block_first(conv4: Backbone) -> None:
    assert conv4.blocks[0] == ("pool.", "norm.")
    assert conv4.blocks[-1] == ("blocks.0.",)
    for name, _ in conv4.module.named_parameters():
        assert sum(name.startswith(block) for block in conv4.blocks) == 1


def test_embedding_has_a_row_an_image_and_no_graph(conv4: Backbone) -> None:
    features = conv4.embed(glyphs(IMAGES_PER_PASS + 3))
    assert features.shape == (IMAGES_PER_PASS + 3, 256)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert conv4.embed(glyphs(0)).shape == (0, 256)


def test_the_same_images_give_the_same_bits(conv4: Backbone) -> None:
    images = glyphs(2 * IMAGES_PER_PASS + 5)
    whole = conv4.embed(images)
    assert torch.equal(whole, conv4.embed(images))
    pieces = [conv4.embed(piece) for piece in images.split(IMAGES_PER_PASS)]
    assert torch.equal(whole, torch.cat(pieces))


def test_an_image_does_not_depend_on_those_beside_it(conv4: Backbone) -> None:
    images = glyphs(20)
    torch.testing.assert_close(conv4.embed(images)[7:8], conv4.embed(images[7:8]), rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_parameters_that_are_given(conv4: Backbone) -> None:
    own = dict(conv4.module.named_parameters())
    given = {name: value.clone().requires_grad_() for name, value in own.items() if name.startswith("pool.")}
    conv4.embed(glyphs(3), given).square().sum().backward()
    assert all(value.grad is not None and bool(value.grad.abs().sum() > 0) for value in given.values())
    assert all(value.grad is None for value in own.values())
    torch.testing.assert_close(conv4.features_of(glyphs(3), given), conv4.embed(glyphs(3)))


def test_a_private_copy_can_be_spoilt(conv4: Backbone) -> None:
    before = conv4.embed(glyphs(2))
    private = conv4.private()
    assert torch.equal(private.embed(glyphs(2)), before)
    for parameter in private.module.parameters():
        parameter.data.zero_()
    assert torch.equal(conv4.embed(glyphs(2)), before)


def test_a_private_copy_has_no_adapters_that_could_be_spoilt(adaptable: Backbone) -> None:
    assert not adaptable.private().adapters


def test_an_export_comes_back_bit_for_bit_and_says_what_it_is(conv4: Backbone, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    export(conv4, copy)
    again = load_backbone(BackboneSpec("conv4", str(copy), conv4.hash))
    assert again.hash == conv4.hash
    assert again.preprocess == conv4.preprocess
    assert torch.equal(again.embed(glyphs(4)), conv4.embed(glyphs(4)))


def test_the_hash_changes_with_one_weight(conv4: Backbone, weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights)
    tensors["norm.bias"][0] += 1e-3
    save_file(tensors, tmp_path / "other.safetensors")
    assert load_backbone(BackboneSpec("conv4", str(tmp_path / "other.safetensors"))).hash != conv4.hash


def test_the_hash_changes_with_the_preprocessing(conv4: Backbone, weights: Path, tmp_path: Path) -> None:
    preprocess = {"size": 28, "channels": 1, "mean": [0.5], "std": [0.22]}
    save_file(load_file(weights), tmp_path / "other.safetensors", metadata={"preprocess": json.dumps(preprocess)})
    other = load_backbone(BackboneSpec("conv4", str(tmp_path / "other.safetensors")))
    assert other.preprocess.mean == (0.5,)
    assert other.hash != conv4.hash


def test_a_state_of_another_backbone_is_refused_with_both_hashes(conv4: Backbone, tmp_path: Path) -> None:
    other = random_conv4(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(StateError, match=conv4.hash) as caught:
        load_backbone(BackboneSpec("conv4", str(other), conv4.hash))
    assert load_backbone(BackboneSpec("conv4", str(other))).hash in str(caught.value)


def test_under_an_adapter_it_takes_the_same_images_to_features_of_its_own(adaptable: Backbone) -> None:
    drawn = adaptable.adapted("drawn")
    assert (drawn.hash, drawn.preprocess, drawn.features) == (adaptable.hash, adaptable.preprocess, 80)
    assert drawn.macs < adaptable.macs / 10
    assert drawn.embed(photographs(3)).shape == (3, 80)
    assert drawn.blocks[:2] == (("pool.", "norm."), ("blocks.2.",))
    assert adaptable.adapted("identity") is adaptable


def test_an_adapter_that_it_does_not_have(adaptable: Backbone) -> None:
    with pytest.raises(StateError, match="no adapter 'glyph'"):
        adaptable.adapted("glyph")


def test_an_export_holds_the_adapters_too(adaptable: Backbone, tmp_path: Path) -> None:
    export(adaptable, tmp_path / "copy.safetensors")
    again = load_backbone(BackboneSpec("lite0-meta", str(tmp_path / "copy.safetensors"), adaptable.hash))
    images = photographs(2)
    assert torch.equal(again.embed(images), adaptable.embed(images))
    assert torch.equal(again.adapted("drawn").embed(images), adaptable.adapted("drawn").embed(images))


@pytest.mark.parametrize("what", ["radius", "tensor"])
def test_the_hash_changes_with_an_adapter(adaptable: Backbone, what: str, tmp_path: Path) -> None:
    path = random_lite0_meta(tmp_path / "copy.safetensors")
    tensors, note = read_tensors(path)
    if what == "radius":
        note["adapters"] = note["adapters"].replace("0.5", "0.6")
    else:
        tensors["adapters/drawn/norm.bias"][0] += 0.5
    save_file(tensors, path, metadata=note)
    assert load_backbone(BackboneSpec("lite0-meta", str(path))).hash != adaptable.hash


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there(weights: Path) -> None:
    with pytest.raises(LearndError, match="cannot be put on cuda:0"):
        load_backbone(BackboneSpec("conv4", str(weights)), "cuda:0")


def test_lite0_meta_ships_an_adapter_for_glyphs_that_is_small() -> None:
    backbone = load_backbone(BackboneSpec("lite0-meta"))
    glyphs = backbone.adapters["glyphs"]
    assert glyphs.adapter is not None
    assert sum(value.nbytes for value in glyphs.adapter.tensors.values()) < 500_000
    assert (backbone.features, glyphs.features) == (1280, 448)
    assert glyphs.macs < backbone.macs / 10


@requires_data("omniglot", "eurosat")
@pytest.mark.slow
def test_lite0_meta_knows_strange_glyphs_by_their_looks_and_tells_them_apart() -> None:
    from learnd.learning.networks.images import load_batch

    backbone = load_backbone(BackboneSpec("lite0-meta"))
    glyphs = backbone.adapters["glyphs"]
    assert glyphs.adapter is not None

    def read(paths: list[Path]) -> torch.Tensor:
        images, errors = load_batch([(str(path), path.read_bytes()) for path in paths], backbone.preprocess, 2)
        assert not errors
        return images

    characters = sorted(unpacked("omniglot", "images_evaluation/Tengwar/").iterdir())[:20]
    images = read([drawing for folder in characters for drawing in sorted(folder.iterdir())[:2]])
    assert glyphs.adapter.near(backbone.embed(images)).float().mean() > 0.9
    unit = torch.nn.functional.normalize(glyphs.embed(images), dim=1)
    told = (unit[1::2] @ unit[::2].T).argmax(1) == torch.arange(20)
    assert told.float().mean() >= 0.7  # one-shot, within one alphabet
    land = [sorted(folder.iterdir())[0] for folder in sorted(unpacked("eurosat").iterdir())]
    assert not glyphs.adapter.near(backbone.embed(read(land))).any()


def test_the_weights_that_conv4_ships_with_are_there() -> None:
    assert load_backbone(BackboneSpec("conv4")).features == 256


@requires_data("eurosat")
@pytest.mark.slow
def test_lite0_knows_land_from_above() -> None:
    """5-way 5-shot by the nearest class mean, cosine: 0.856 is measured over 400 episodes of 60 images per class."""
    from learnd.learning.networks.images import load_batch

    lite0 = load_backbone(BackboneSpec("lite0"))
    assert (lite0.features, lite0.preprocess.size, lite0.macs) == (1280, 128, 125_357_568)
    folders = sorted(unpacked("eurosat").iterdir())
    paths = [path for folder in folders for path in sorted(folder.iterdir())[:15]]
    images, errors = load_batch([(str(path), path.read_bytes()) for path in paths], lite0.preprocess, 2)
    assert not errors
    unit = torch.nn.functional.normalize(lite0.embed(images), dim=1)  # (150, D)
    features = unit.unflatten(0, (len(folders), 15))  # (10, 15, D)
    generator = torch.Generator().manual_seed(0)
    accuracies = []
    for _ in range(100):
        ways = torch.randperm(len(folders), generator=generator)[:5]
        episode = features[ways][:, torch.randperm(15, generator=generator)]  # (5, 15, D)
        means = torch.nn.functional.normalize(episode[:, :5].mean(1), dim=1)  # (5, D)
        cosines = episode[:, 5:].flatten(0, 1) @ means.T  # (50, 5)
        accuracies.append((cosines.argmax(1) == torch.arange(5).repeat_interleave(10)).float().mean())
    assert 0.80 < float(torch.stack(accuracies).mean()) < 0.90


def test_a_plugins_network_is_a_backbone_and_comes_back_from_its_copy_bit_for_bit(tmp_path: Path) -> None:
    def build() -> Network:
        return Network("fresh", Conv4(), GLYPHS)

    spec, others = BackboneSpec("plugin:fresh"), {"fresh": build}
    first = load_backbone(spec, others=others)
    export(first, tmp_path / "copy.safetensors")
    again = load_backbone(BackboneSpec("plugin:fresh", str(tmp_path / "copy.safetensors"), first.hash), others=others)
    images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(first.embed(images), again.embed(images))


def _raises() -> Network:
    raise OSError("no weights")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "no plugin brings this network"),
        ("raises", r"cannot build it \(OSError: no weights\)"),
        ("nothing", "returned NoneType, not Network"),
    ],
)
def test_a_plugins_network_that_cannot_be_had_is_named(name: str, says: str) -> None:
    others: dict[str, Any] = {"raises": _raises, "nothing": lambda: None}
    with pytest.raises(LearndError, match=f"backbone plugin:{name}: .*{says}"):
        load_backbone(BackboneSpec(f"plugin:{name}"), others=others)


def test_trained_weights_have_a_hash_of_their_own_and_fit_half_a_file(conv4: Backbone, tmp_path: Path) -> None:
    module = fresh_backbone("conv4", 3).module
    whole, rounded = trained(conv4, module), trained(conv4, module, half=True)
    assert len({conv4.hash, whole.hash, rounded.hash}) == 3
    export(rounded, tmp_path / "half.safetensors", {"recipe": "{}"}, half=True)
    export(whole, tmp_path / "whole.safetensors")
    again = load_backbone(BackboneSpec("conv4", str(tmp_path / "half.safetensors"), rounded.hash))
    assert torch.equal(again.embed(glyphs(2)), rounded.embed(glyphs(2)))
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "whole.safetensors").stat().st_size
    assert not whole.module.training
    assert not any(parameter.requires_grad for parameter in whole.module.parameters())
