"""`learnd meta-train` from the command line: what comes out is used, mistakes are said, a signal loses nothing."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from learnd.ui.recipe_options import parse_option, recipe_options
from tests.learning import metalearners
from tests.learning.drawn import glyph_root, random_conv4
from tests.patience import PATIENCE
from tests.ui.conftest import Command

SMALL = [
    "--backbone", "conv4", "--threads", "1", "--ways", "3", "--shots", "1", "--queries", "2",
    "--validate-every", "2", "--validation-episodes", "3", "--steps", "4",
]  # fmt: skip


@pytest.fixture
def glyphs(home: Path) -> Path:
    """A home with a plugin of one's own, and images to train on."""
    (home / "plugins").mkdir(exist_ok=True)
    shutil.copyfile(metalearners.__file__, home / "plugins" / "metalearners.py")
    return glyph_root(home / "glyphs", shots=4)


def train(*arguments: str, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "learnd", "meta-train", *arguments]
    return subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_new_backbone_and_what_goes_with_it(glyphs: Path, home: Path, learnd: Command) -> None:
    from learnd.learning.networks import meta_checkpoints
    from learnd.learning.networks.backbone import load_backbone
    from learnd.messages.jobs import BackboneSpec

    out, mine = home / "plugins" / "meta" / "nearest.safetensors", home / "mine.safetensors"
    said = learnd(
        "meta-train", "--algorithm", "nearest", "--data", str(glyphs), "--augment", "glyphs", "--turns", "4",
        "--fresh", "--half", "--out", str(out), "--backbone-out", str(mine), "--json", *SMALL,
    )  # fmt: skip

    assert said.code == 0, said.err
    done = said.json["done"]
    assert (done["step"], done["finished"], done["validation"]["episodes"]) == (4, True, 3)
    backbone = load_backbone(BackboneSpec(f"conv4@{mine}"), meta=out.parent)
    assert backbone.hash == done["backbone_hash"]
    assert backbone.meta["nearest"].keys() == {"log_scale"}
    assert load_backbone(BackboneSpec("conv4", file=str(mine), hash=backbone.hash)).hash == backbone.hash
    _, note = meta_checkpoints.read(out)
    assert json.loads(note["recipe"])["steps"] == 4
    assert note["command"].startswith("learnd meta-train --algorithm nearest ")
    assert mine.stat().st_size < 900_000  # float16
    assert not list(home.glob("*.training.safetensors"))


@pytest.mark.slow
def test_a_signal_keeps_a_snapshot_and_the_same_command_goes_on_from_it(
    glyphs: Path, home: Path, learnd: Command
) -> None:
    random_conv4(home / "net.safetensors")
    command = ["--algorithm", "onestep", "--data", str(glyphs), "--out", "out.safetensors", *SMALL]
    command += ["--backbone", "conv4@net.safetensors", "--steps", "100000"]
    process = train(*command, home=home)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "validation" in line:  # it is at work
                break
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from" in rest
    assert (home / "out.training.safetensors").exists()
    assert not (home / "out.safetensors").exists()

    other = learnd("meta-train", *command, "--rate", "0.5")
    assert other.code == 1
    assert "differs in recipe.rate" in other.err
    on = learnd("meta-train", *command, "--max-minutes", "0")
    assert on.code == 0, on.err
    assert "the time was up" in on.err
    assert on.out == "out.safetensors\n"
    assert (home / "out.safetensors").exists()


@pytest.mark.slow
def test_what_the_training_refuses_has_its_exit_code(glyphs: Path, home: Path, learnd: Command) -> None:
    said = learnd("meta-train", "--algorithm", "onestp", "--out", "a.safetensors", "--data", "nowhere.zip", *SMALL)
    assert said.code == 2
    assert "did you mean 'onestep'?" in said.err
    assert "Traceback" not in said.err


@pytest.mark.slow
def test_data_that_is_not_there_ends_with_1(glyphs: Path, home: Path, learnd: Command) -> None:
    said = learnd("meta-train", "--algorithm", "onestep", "--out", "a.safetensors", "--data", "nowhere.zip", *SMALL)
    assert said.code == 1
    assert "nowhere.zip: cannot be read" in said.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--ways", "5-2"], "is not like 5, or 5,20, or 5-20"),
        (["--ways", "1,5"], "each at least 2"),
        (["--batching", "vmap"], "'vmap' does not match"),
        (["--rate", "0"], "is not in the range"),
        (["--option", "steps"], "'steps' is not NAME=VALUE"),
        (["--augment", "none", "--augment", "glyphs"], "2 times for 1 --data"),
    ],
)
def test_a_mistyped_option_ends_with_2(arguments: list[str], why: str, learnd: Command) -> None:
    said = learnd("meta-train", "--algorithm", "a", "--data", "b", "--out", "c.safetensors", *arguments)
    assert said.code == 2
    assert why in said.err


def test_ranges_and_options_are_read_as_they_are_meant() -> None:
    @click.command()
    @click.option("--option", multiple=True, callback=parse_option)
    @recipe_options
    def command(**given: object) -> None:
        click.echo(json.dumps(given))

    arguments = ["--ways", "5,10-12", "--option", "head=zero", "--option", "blocks=null", "--option", "rate=0.5"]
    said = CliRunner().invoke(command, arguments)
    given = json.loads(said.output)
    assert given["ways"] == [5, 10, 11, 12]
    assert given["shots"] == [1, 5]
    assert given["option"] == {"head": "zero", "blocks": None, "rate": 0.5}


@pytest.mark.slow
def test_it_ends_with_a_snapshot_when_the_command_is_killed(glyphs: Path, home: Path) -> None:
    random_conv4(home / "net.safetensors")
    command = ["--algorithm", "onestep", "--data", str(glyphs), "--out", "out.safetensors", *SMALL]
    process = train(*command, "--backbone", "conv4@net.safetensors", "--steps", "100000", home=home)
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stderr:
        if "validation" in line:
            break
    trainer = _child_of(process.pid)
    process.kill()
    process.communicate()
    _wait_for_end(trainer)
    assert (home / "out.training.safetensors").exists()


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _wait_for_end(pid: int) -> None:
    """Until a process that is no child of ours has ended."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready, _, _ = select.select([end], [], [], 60)
    os.close(end)
    assert ready
