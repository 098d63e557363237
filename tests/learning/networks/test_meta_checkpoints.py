"""What was meta-learnt is found by the backbone that it was learnt for, and a file that does not fit is only logged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from learnd.errors import LearndError
from learnd.learning.contract.meta_learner import with_fitting_meta
from learnd.learning.networks import meta_checkpoints
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.messages.jobs import BackboneSpec
from tests.learning.drawn import random_conv4
from tests.learning.metalearners import OneStep
from tests.tiny import tiny_backbone

NOTE: dict[str, Any] = {"recipe": {"steps": 3}, "command": "learnd meta-train ..."}


class Place:
    """A backbone file, and a folder of meta checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "meta"
        self.folder.mkdir()
        self.file = random_conv4(folder / "conv4.safetensors")
        self.plain = load_backbone(BackboneSpec("conv4", str(self.file)))
        self.said: list[str] = []

    def write(self, name: str, tensors: dict[str, torch.Tensor], digest: str | None = None, half: bool = False) -> Path:
        path = self.folder / f"{name}.safetensors"
        meta_checkpoints.write(path, "onestep", digest or self.plain.hash, tensors, NOTE, half)
        return path

    def load(self) -> Backbone:
        return load_backbone(BackboneSpec("conv4", str(self.file)), meta=self.folder, log=self.said.append)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_comes_back_attached_to_its_backbone(place: Place) -> None:
    start = OneStep().meta_parameters(place.plain)
    start["backbone.norm.bias"] += 1.25
    path = place.write("mine", start)
    loaded = place.load()
    assert all(torch.equal(value, start[name]) for name, value in loaded.meta["onestep"].items())
    assert torch.equal(OneStep().meta_of(loaded)["backbone.norm.bias"], start["backbone.norm.bias"])
    assert loaded.meta["onestep"].keys() == start.keys()
    assert place.said == []
    assert meta_checkpoints.read(path)[1]["recipe"] == '{"steps": 3}'


def test_half_of_the_size_is_read_as_float32(place: Place) -> None:
    whole = place.write("whole", {"log_scale": torch.linspace(0, 1, 1000)})
    half = place.write("half", {"log_scale": torch.linspace(0, 1, 1000)}, half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    assert meta_checkpoints.read(half)[0]["log_scale"].dtype == torch.float32


def test_what_was_learnt_for_another_backbone_is_passed_over_without_a_word(place: Place) -> None:
    place.write("other", {"log_scale": torch.zeros(())}, digest="f" * 64)
    assert "onestep" not in place.load().meta
    assert place.said == []


def test_of_two_for_the_same_algorithm_the_last_by_name_counts_and_it_is_said(place: Place) -> None:
    place.write("b", {"log_scale": torch.tensor(2.0)})
    place.write("a", {"log_scale": torch.tensor(1.0)})
    assert float(place.load().meta["onestep"]["log_scale"]) == 2.0
    assert "b.safetensors comes before" in place.said[0]


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"log_scale": torch.tensor(float("nan"))}, "log_scale is not finite"),
        ({"backbone.norm.bias": torch.zeros(7)}, r"backbone.norm.bias (7,) has no place in the network"),
        ({"backbone.nowhere": torch.zeros(7)}, r"backbone.nowhere (7,) has no place in the network"),
    ],
)
def test_one_that_does_not_fit_is_left_out_with_a_reason(
    tensors: dict[str, torch.Tensor], why: str, place: Place
) -> None:
    place.write("bad", tensors)
    assert "onestep" not in place.load().meta
    assert why in place.said[0]
    assert "bad.safetensors" in place.said[0]


def test_other_files_are_left_out_with_a_reason(place: Place) -> None:
    (place.folder / "damaged.safetensors").write_bytes(b"nothing")
    save_file({"a": torch.zeros(1)}, place.folder / "other.safetensors")
    assert place.load().meta == place.plain.meta
    assert "damaged.safetensors: is damaged" in place.said[0]
    assert "other.safetensors: is no meta checkpoint" in place.said[1]
    with pytest.raises(LearndError, match="is no meta checkpoint"):
        meta_checkpoints.read(place.folder / "other.safetensors")


def test_tensors_of_other_options_are_left_out_with_a_reason() -> None:
    said: list[str] = []
    tiny = tiny_backbone()
    fits = {"onestep": {"log_scale": torch.zeros(())}, "unknown": {"a": torch.zeros(3)}}
    kept = with_fitting_meta(replace(tiny, meta=fits), {"onestep": OneStep()}, said.append)
    assert kept.meta == fits
    assert said == []
    wrong = {"onestep": {"log_scale": torch.zeros(4)}}
    kept = with_fitting_meta(replace(tiny, meta=wrong), {"onestep": OneStep()}, said.append)
    assert kept.meta == {}
    assert "log_scale is of another shape" in said[0]


def test_a_plugin_that_cannot_say_what_it_meta_learns_ends_no_worker() -> None:
    class Faulty(OneStep):
        def meta_parameters(self, backbone: Backbone) -> dict[str, torch.Tensor]:
            raise KeyError("lost")

    said: list[str] = []
    carrying = replace(tiny_backbone(), meta={"onestep": {"rate": torch.ones(())}, "other": {}})
    kept = with_fitting_meta(carrying, {"onestep": Faulty()}, said.append)
    assert set(kept.meta) == {"other"}
    assert said == ["what was meta-learnt for onestep is left out: its meta_parameters raised KeyError('lost')"]
