"""A job's files are read as they were accepted, or not at all."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from learnd.identity import digest_of_leaves, leaf_of
from learnd.learning.jobs import read_task as reading
from learnd.learning.jobs.read_task import Changed, Reading, Rejected, read_task
from learnd.learning.networks.conv4 import GLYPHS
from learnd.messages.jobs import LearnSpec
from learnd.messages.task import TaskOptions
from tests.learning.drawn import stripes_task
from tests.learning.specs import learn_spec


def read(spec: LearnSpec) -> Reading:
    return read_task(spec, GLYPHS, threads=2, progress=lambda stage, done, total: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stripes_task(tmp_path / "task", shots=5, ways=3)


def accepted_again(spec: LearnSpec) -> LearnSpec:
    """The same job, accepted with the files as they are now."""
    leaves = [(file.path, leaf_of(Path(spec.folder, file.path).read_bytes())) for file in spec.files]
    return dataclasses.replace(spec, digest=digest_of_leaves(leaves))


def test_images_labels_and_files_go_together(folder: Path, tmp_path: Path) -> None:
    task = read(learn_spec(folder, tmp_path / "out"))
    assert task.classes == ("at 0", "at 120", "at 60")
    assert task.support.images.shape == (15, 1, 28, 28)
    assert task.support.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    names = [task.classes[label] for label in task.support.labels.tolist()]
    assert [file.class_name for file in task.support.files] == names
    assert len(task.query.labels) == 0


def test_the_folders_own_query_is_set_apart(folder: Path, tmp_path: Path) -> None:
    (folder / "query").mkdir()
    shutil.move(folder / "at 60", folder / "support" / "at 60")
    stripes_task(folder / "query", shots=2, ways=3, first_seed=50)
    task = read(learn_spec(folder, tmp_path / "out"))
    assert (len(task.support.labels), len(task.query.labels)) == (15, 6)


def test_a_share_of_each_class_is_held_out_by_its_hash(folder: Path, tmp_path: Path) -> None:
    task = read(learn_spec(folder, tmp_path / "out", TaskOptions(holdout=0.4)))
    assert torch.bincount(task.query.labels).tolist() == [2, 2, 2]
    for k in range(3):
        held = [file.sha256 for file in task.query.files if file.class_name == task.classes[k]]
        kept = [file.sha256 for file in task.support.files if file.class_name == task.classes[k]]
        assert max(held) < min(kept)


def test_something_is_always_left_to_learn_from(tmp_path: Path) -> None:
    folder = stripes_task(tmp_path / "task", shots=2, ways=2)
    task = read(learn_spec(folder, tmp_path / "out", TaskOptions(holdout=0.9)))
    assert torch.bincount(task.support.labels).tolist() == [1, 1]


def test_no_copy_of_a_held_out_image_is_learnt_from(tmp_path: Path) -> None:
    folder = stripes_task(tmp_path / "task", shots=6, ways=2)
    for path in list(folder.rglob("*.png")):
        shutil.copyfile(path, path.with_name(f"copy of {path.name}"))
    for share in (0.1, 0.25, 0.5, 0.9):
        task = read(learn_spec(folder, tmp_path / "out", TaskOptions(holdout=share)))
        held, kept = ({file.sha256 for file in part.files} for part in (task.query, task.support))
        assert kept
        assert not held & kept


def test_the_task_yaml_is_part_of_the_identity(folder: Path, tmp_path: Path) -> None:
    spec = learn_spec(folder, tmp_path / "out")
    (folder / "task.yaml").write_text("priority: 1\n")
    with pytest.raises(Changed):
        read(spec)
    assert read(learn_spec(folder, tmp_path / "out")).classes


def test_a_file_that_is_gone(folder: Path, tmp_path: Path) -> None:
    spec = learn_spec(folder, tmp_path / "out")
    (folder / "at 60" / "3.png").unlink()
    with pytest.raises(Changed, match=r"at 60/3\.png cannot be read"):
        read(spec)


def test_a_file_that_is_another(folder: Path, tmp_path: Path) -> None:
    spec = learn_spec(folder, tmp_path / "out")
    shutil.copyfile(folder / "at 0" / "0.png", folder / "at 60" / "3.png")
    with pytest.raises(Changed, match="no longer those that were accepted"):
        read(spec)


def test_a_half_written_file_is_a_change_and_not_a_broken_image(folder: Path, tmp_path: Path) -> None:
    spec = learn_spec(folder, tmp_path / "out")
    path = folder / "at 60" / "3.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(Changed):
        read(spec)


def test_every_image_that_cannot_be_decoded_is_named(folder: Path, tmp_path: Path) -> None:
    spec = learn_spec(folder, tmp_path / "out")
    for name in ("at 0/1.png", "at 120/2.png"):
        (folder / name).write_bytes(b"no image")
    with pytest.raises(Rejected) as caught:
        read(accepted_again(spec))
    assert [problem.where for problem in caught.value.problems] == ["at 0/1.png", "at 120/2.png"]
    assert {problem.code for problem in caught.value.problems} == {"undecodable"}
    assert all(problem.remedy for problem in caught.value.problems)


def test_a_class_with_query_images_alone(folder: Path, tmp_path: Path) -> None:
    stripes_task(folder / "query" / "more", shots=1, ways=5, first_seed=50)
    with pytest.raises(Rejected) as caught:
        read(learn_spec(folder, tmp_path / "out"))
    assert [(problem.code, problem.where) for problem in caught.value.problems] == [
        ("query-only", "at 180"),
        ("query-only", "at 240"),
    ]


def test_many_files_are_read_in_pieces(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = learn_spec(folder, tmp_path / "out")
    whole = read(spec)
    monkeypatch.setattr(reading, "FILES_AT_A_TIME", 4)
    assert torch.equal(read(spec).support.images, whole.support.images)
