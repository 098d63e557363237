"""From a command to a training: what cannot be is said before an image is read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learnd.errors import LearndError, SettingsError
from learnd.learning.metatraining.meta_training_job import prepare, publish, snapshot_of
from learnd.learning.metatraining.outer_loop import Run
from learnd.messages.convert import from_json, to_json
from learnd.messages.jobs import BackboneSpec
from learnd.settings.meta_training_recipe import Corpus, DomainSpec, MetaTrainSpec, Recipe
from tests.learning import metalearners
from tests.learning.drawn import glyph_root

RECIPE = Recipe(steps=2, ways=(3,), shots=(1,), queries=2, validate_every=1, validation_episodes=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return glyph_root(tmp_path_factory.mktemp("glyphs"), shots=3)


@pytest.fixture
def spec(root: Path, tmp_path: Path) -> MetaTrainSpec:
    """A meta-training of `onestep`."""
    (tmp_path / "plugins").mkdir()
    shutil.copyfile(metalearners.__file__, tmp_path / "plugins" / "metalearners.py")
    return MetaTrainSpec(
        algorithm="onestep",
        options={},
        corpus=Corpus((DomainSpec((str(root),)),)),
        recipe=RECIPE,
        backbone=BackboneSpec("conv4"),
        out=str(tmp_path / "out" / "a.safetensors"),
        backbone_out=None,
        fresh=False,
        half=False,
        device="cpu",
        seconds=None,
        restart=False,
        tensorboard=None,
        plugins_dir=str(tmp_path / "plugins"),
        plugins={},
        command="learnd meta-train",
    )


def test_a_spec_crosses_the_wall_as_json(spec: MetaTrainSpec) -> None:
    assert from_json(MetaTrainSpec, json.loads(json.dumps(to_json(spec)))) == spec


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"out": None}, "a meta checkpoint comes out"),
        ({"backbone_out": "b.safetensors"}, "leaves the network as it is"),
        ({"algorithm": "nearest"}, "trains the network itself"),
        ({"algorithm": "onestp"}, "did you mean 'onestep'"),
        ({"algorithm": "gaussian"}, "has no outer loop"),
        ({"algorithm": "pretrain", "backbone_out": "b.safetensors"}, "no meta checkpoint"),
        ({"algorithm": "pretrain", "out": None, "backbone_out": "b.bin"}, "must end in .safetensors"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], why: str, spec: MetaTrainSpec, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        prepare(replace(spec, corpus=Corpus((DomainSpec(("nowhere.zip",)),)), **changes), 1)
    assert why in str(caught.value)


def test_tasks_at_once_are_not_for_batch_norm_that_is_trained(spec: MetaTrainSpec, tmp_path: Path) -> None:
    forced = replace(RECIPE, meta_batch=2, batching="vmap:2")
    out = str(tmp_path / "b.safetensors")
    prepared = prepare(replace(spec, algorithm="nearest", out=None, backbone_out=out, recipe=forced), 1)
    with pytest.raises(SettingsError, match="--batching vmap:2: this algorithm trains batch norm") as error:
        prepared.train(Run())
    assert error.value.exit_code == 2


def test_a_broken_plugin_is_named_with_its_reason(spec: MetaTrainSpec, tmp_path: Path) -> None:
    (tmp_path / "plugins" / "broken.py").write_text("raise RuntimeError('oh no')\n")
    with pytest.raises(LearndError, match="is quarantined: RuntimeError: oh no"):
        prepare(replace(spec, algorithm="broken"), 1)


def test_options_of_the_command_come_over_those_of_the_settings(spec: MetaTrainSpec) -> None:
    settings = {"onestep": {"steps": 3, "rate": 0.5}}
    prepared = prepare(replace(spec, plugins=settings, options={"steps": 2}), 1)
    assert (prepared.options["steps"], prepared.options["rate"]) == (2, 0.5)
    assert json.loads(prepared.identity)["options"]["steps"] == 2


def test_a_backbone_without_weights_says_how_to_make_some(spec: MetaTrainSpec) -> None:
    with pytest.raises(LearndError, match="backbone conv4-rgb: comes without weights") as caught:
        prepare(replace(spec, backbone=BackboneSpec("conv4-rgb")), 1)
    assert "--fresh" in (caught.value.remedy or "")


def test_a_training_is_another_one_where_an_image_changed(spec: MetaTrainSpec, tmp_path: Path) -> None:
    root = glyph_root(tmp_path / "glyphs", shots=3)
    spec = replace(spec, corpus=Corpus((DomainSpec((str(root),)),)))
    before = prepare(spec, 1).identity
    assert prepare(spec, 1).identity == before
    first, second = sorted(root.rglob("*.png"))[:2]
    shutil.copyfile(second, first)
    assert prepare(spec, 1).identity != before


def test_restart_forgets_an_unfinished_training(spec: MetaTrainSpec) -> None:
    prepared = prepare(spec, 1)
    snapshot = snapshot_of(spec)
    snapshot.write_bytes(b"of something else")
    with pytest.raises(LearndError, match="is damaged"):
        prepared.train(Run(snapshot, prepared.identity))
    prepare(replace(spec, restart=True), 1)
    assert not snapshot.exists()


@pytest.mark.slow
def test_pretraining_makes_a_colour_backbone_from_nothing(spec: MetaTrainSpec, tmp_path: Path) -> None:
    from learnd.learning.networks.backbone import load_backbone

    file = tmp_path / "rgb.safetensors"
    made = replace(
        spec, algorithm="pretrain", options={"images": 8}, backbone=BackboneSpec("conv4-rgb"), fresh=True,
        out=None, backbone_out=str(file),
    )  # fmt: skip
    prepared = prepare(made, 1)
    done = publish(made, prepared, prepared.train(Run()))
    backbone = load_backbone(BackboneSpec(f"conv4-rgb@{file}"))
    assert (backbone.preprocess.channels, backbone.preprocess.size, backbone.features) == (3, 32, 256)
    assert backbone.hash == done["backbone_hash"] != prepared.backbone.hash
    assert done["files"] == {"backbone_out": str(file)}
