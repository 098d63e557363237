"""Weights come from where the name says, fit exactly, and a wrong file is explained."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from learnd.errors import LearndError
from learnd.learning.networks import zoo
from learnd.learning.networks.conv4 import Conv4
from learnd.learning.networks.zoo import build_network, fresh_network, read_tensors
from tests.learning.drawn import random_conv4

SMALL = "resnet10t"  # of timm's models one of the smallest


@pytest.fixture(scope="module")
def resnet() -> Any:
    import timm

    torch.manual_seed(0)
    return timm.create_model(SMALL)


def test_an_unknown_name() -> None:
    with pytest.raises(LearndError, match="no backbone 'resnet18'") as caught:
        build_network("resnet18")
    assert "timm:" in (caught.value.remedy or "")


def test_a_timm_name_with_a_slip() -> None:
    with pytest.raises(LearndError, match="no model 'resnt18'") as caught:
        build_network("timm:resnt18")
    assert caught.value.remedy == "did you mean 'resnet18'?"


def test_weights_by_name_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(*_: object, **options: object) -> None:
        raise OSError("no network\nsecond line")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(LearndError, match=r"cannot be fetched \(no network\)") as caught:
        build_network(f"timm:{SMALL}")
    assert f"timm:{SMALL}@" in (caught.value.remedy or "")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_timm_model_with_weights_from_a_file(suffix: str, resnet: Any, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": resnet.state_dict(), "epoch": 3}, path)
    else:
        save_file(resnet.state_dict(), path)
    network = build_network(f"timm:{SMALL}@{path}")
    assert network.architecture == f"timm:{SMALL}"  # wherever the file lies, the hash is the same
    assert (network.preprocess.channels, network.preprocess.size) == (3, 176)
    images = torch.randn(2, 3, 64, 64)
    expected = resnet.eval().forward_features(images).mean((2, 3))
    torch.testing.assert_close(network.module.eval()(images), expected)


def test_a_pickle_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("it was run",))

    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Evil()}, path, pickle_module=pickle)
    with pytest.raises(LearndError, match="something else than tensors"):
        build_network(f"timm:{SMALL}@{path}")


def test_keys_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = random_conv4(tmp_path / "conv4.safetensors")
    tensors = load_file(path)
    del tensors["norm.weight"]
    tensors["head.weight"] = torch.zeros(1)
    tensors["pool.weight"] = torch.zeros(2, 2)
    save_file(tensors, path)
    with pytest.raises(LearndError) as caught:
        build_network("conv4", path)
    for problem in ("norm.weight is missing", "head.weight has no place", "pool.weight is (2, 2), not (256, 1, 3, 3)"):
        assert problem in caught.value.what


@pytest.mark.parametrize("content", [b"", b"not tensors at all"])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_a_damaged_file(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LearndError) as caught:
        read_tensors(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LearndError, match="no such file"):
        build_network("conv4", tmp_path / "none.safetensors")


def test_lite0_with_weights_that_are_not_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "LITE0_SHA256", "0" * 64)
    with pytest.raises(LearndError, match="not the known ones"):
        build_network("lite0")


def test_conv4_for_colour_has_no_weights_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(LearndError, match="conv4-rgb: comes without weights") as caught:
        build_network("conv4-rgb")
    assert "--fresh" in (caught.value.remedy or "")
    fresh = fresh_network("conv4-rgb", 1)
    assert fresh.module.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 256)
    save_file(fresh.module.state_dict(), tmp_path / "rgb.safetensors")
    loaded = build_network(f"conv4-rgb@{tmp_path / 'rgb.safetensors'}")
    assert (loaded.architecture, loaded.preprocess) == ("conv4-rgb", fresh.preprocess)
    assert all(torch.equal(a, b) for a, b in zip(loaded.module.parameters(), fresh.module.parameters(), strict=True))


def test_conv4_views_is_conv4_that_looks_again() -> None:
    glyphs = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    once, often = (build_network(name).module.eval() for name in ("conv4", "conv4-views"))
    assert {*often.state_dict()} == {*once.state_dict()}
    first, mean = once(glyphs), often(glyphs)
    assert mean.shape == (6, 256)
    assert not torch.allclose(mean, first, atol=0.1)
    assert torch.allclose(often(glyphs[2:3]), mean[2:3], atol=1e-5)  # an image is told by itself alone
    often.train()
    once.train()
    assert torch.equal(often(glyphs), once(glyphs))  # what is trained is conv4


def test_fresh_weights_are_the_same_for_the_same_seed_and_leave_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    one, same, other = (next(fresh_network("conv4", seed).module.parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("width", [(8, 16), (4, 8, 16)])
def test_conv4_of_other_sizes(width: tuple[int, ...]) -> None:
    assert Conv4(3, 24, width).eval()(torch.zeros(2, 3, 24, 24)).shape == (2, 16)
