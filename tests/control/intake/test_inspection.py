"""The intake names everything wrong with a folder at once, and nothing that is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from learnd.control.intake import inspection as intake
from learnd.control.intake.image_check import examine, read_file
from learnd.control.intake.inspection import Inspection, inspect
from learnd.identity import digest_of_leaves, leaf_of
from learnd.messages.convert import from_json, to_json
from learnd.messages.task import ImageFile, Severity, TaskOptions
from learnd.settings.keys import IntakeSettings
from tests.broken import BROKEN, HARMLESS, Maker, draw, empty_class, good_task
from tests.control.rights import Unprivileged

LIMITS = IntakeSettings()


def codes(inspection: Inspection) -> set[str]:
    return {problem.code for problem in inspection.problems}


@pytest.mark.parametrize(("maker", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_folder_is_rejected_with_every_reason(maker: Maker, expected: set[str], tmp_path: Path) -> None:
    maker(tmp_path / "task")
    inspection = inspect(tmp_path / "task", LIMITS)

    assert codes(inspection) == expected
    assert not inspection.accepted
    assert not inspection.changed
    for problem in inspection.problems:
        assert problem.where
        assert problem.what
        assert problem.remedy
        assert problem.where.isprintable()


@pytest.mark.parametrize(("maker", "expected"), HARMLESS.values(), ids=HARMLESS)
def test_a_doubtful_folder_is_accepted_with_a_warning(maker: Maker, expected: set[str], tmp_path: Path) -> None:
    maker(tmp_path / "task")
    inspection = inspect(tmp_path / "task", LIMITS)

    assert codes(inspection) == expected
    assert inspection.accepted
    assert {problem.severity for problem in inspection.problems} == {Severity.WARNING}


def test_a_good_folder_is_accepted_with_its_files_in_order(tmp_path: Path) -> None:
    task = good_task(tmp_path / "task", shots=2)
    (task / "task.yaml").write_text("algorithm: protonet\nholdout: 0.5\n")
    inspection = inspect(task, LIMITS)

    paths = ["circles/0.png", "circles/1.png", "squares/0.png", "squares/1.png"]
    assert inspection.files == tuple(ImageFile(path, path.split("/")[0]) for path in paths)
    assert inspection.options == TaskOptions(algorithm="protonet", holdout=0.5)
    assert inspection.problems == ()
    assert inspection.bytes == sum((task / path).stat().st_size for path in paths)


@pytest.mark.parametrize(("learn", "measure"), [("support", "query"), ("train", "test"), ("Train", "Test")])
def test_a_split_task_has_both_parts(learn: str, measure: str, tmp_path: Path) -> None:
    good_task(tmp_path / learn)
    for seed, name in enumerate(("circles", "squares")):
        draw(tmp_path / measure / name / "0.png", seed=300 + seed)
    inspection = inspect(tmp_path, LIMITS)

    assert inspection.problems == ()
    assert sum(file.split == "support" for file in inspection.files) == 8
    assert [file.class_name for file in inspection.files if file.split == "query"] == ["circles", "squares"]


@pytest.mark.parametrize("classes", [("train", "test"), ("train", "plane", "ship"), ("support", "query")])
def test_classes_called_train_and_test_are_classes(classes: tuple[str, ...], tmp_path: Path) -> None:
    inspection = inspect(good_task(tmp_path, classes), LIMITS)

    assert inspection.problems == ()
    assert {file.class_name for file in inspection.files} == set(classes)
    assert {file.split for file in inspection.files} == {"support"}


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "PNG", "JPeG"])
def test_every_allowed_format_passes(suffix: str, tmp_path: Path) -> None:
    task = good_task(tmp_path)
    draw(task / "circles" / f"other.{suffix}", seed=40)
    assert codes(inspect(task, LIMITS)) == set()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_that_can_be_decoded_passes(mode: str, tmp_path: Path) -> None:
    image = tmp_path / "a.tif"
    Image.new(mode, (8, 8)).save(image)
    assert examine(image.read_bytes(), "a.tif", LIMITS.max_pixels) is None


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_scale_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "a.tif")
    problem = examine((tmp_path / "a.tif").read_bytes(), "a.tif", LIMITS.max_pixels)
    assert problem is not None
    assert problem.code == "deep-pixels"


def test_the_digest_is_of_content_alone(tmp_path: Path) -> None:
    task = good_task(tmp_path / "task")
    (task / "task.yaml").write_text("priority: 1\n")
    before = inspect(task, LIMITS)
    leaves = [(file.path, leaf_of((task / file.path).read_bytes())) for file in before.files]

    os.utime(task / "circles" / "0.png", ns=(0, 0))
    (task / "circles" / "notes.txt").write_text("not an image")
    (task / ".ready").touch()
    again = inspect(task.rename(tmp_path / "elsewhere"), LIMITS)

    leaves.append(("task.yaml", leaf_of(b"priority: 1\n")))
    assert again.digest == before.digest == digest_of_leaves(leaves)
    assert again.fingerprint != before.fingerprint


@pytest.mark.parametrize("change", ["an image", "its name", "its class", "the options"])
def test_the_digest_changes_with_what_is_learnt(change: str, tmp_path: Path) -> None:
    task = good_task(tmp_path)
    before = inspect(task, LIMITS).digest
    match change:
        case "an image":
            draw(task / "circles" / "0.png", seed=800)
        case "its name":
            (task / "circles" / "0.png").rename(task / "circles" / "new.png")
        case "its class":
            (task / "circles").rename(task / "rings")
        case "the options":
            (task / "task.yaml").write_text("priority: 1\n")

    assert inspect(task, LIMITS).digest != before


def test_a_change_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    task = good_task(tmp_path)

    def change(done: int, total: int, path: str) -> None:
        if done == total - 1:
            draw(task / "circles" / "0.png", seed=700)

    assert inspect(task, LIMITS, progress=change).changed


def test_a_file_that_vanishes_while_it_is_read_is_named(tmp_path: Path) -> None:
    task = good_task(tmp_path)
    inspection = inspect(task, LIMITS, progress=lambda done, total, path: (task / path).unlink(done == 0))

    assert inspection.changed
    assert codes(inspection) == {"vanished"}


def test_progress_names_each_file_before_it_is_opened(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    inspection = inspect(good_task(tmp_path), LIMITS, progress=lambda *step: told.append(step))
    assert told == [(done, 8, file.path) for done, file in enumerate(inspection.files)]


def test_an_inspection_survives_json(tmp_path: Path) -> None:
    empty_class(tmp_path)
    inspection = inspect(tmp_path, LIMITS)
    assert from_json(Inspection, to_json(inspection)) == inspection


def test_the_limits_of_the_settings_hold(tmp_path: Path) -> None:
    task = good_task(tmp_path)

    assert codes(inspect(task, IntakeSettings(max_images=7))) == {"too-many-images"}
    assert codes(inspect(task, IntakeSettings(max_pixels=28 * 28 - 1))) == {"image-too-large"}
    assert codes(inspect(task, IntakeSettings(max_file_bytes=50))) == {"file-too-big"}
    assert codes(inspect(task, IntakeSettings(min_images_per_class=5))) == {"too-few-images"}


def test_an_image_over_the_limit_is_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a.png", seed=1)
    monkeypatch.setattr("learnd.control.intake.image_check._unpack", lambda image: pytest.fail("it was decoded"))
    problem = examine((tmp_path / "a.png").read_bytes(), "a.png", max_pixels=28 * 28 - 1)
    assert problem is not None
    assert problem.what == "has 28 x 28 pixels; the limit is 783"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_no_part_of_an_image_passes_for_the_whole(suffix: str, share: float, tmp_path: Path) -> None:
    image = tmp_path / f"a.{suffix}"
    draw(image, seed=5, size=96)
    data = image.read_bytes()

    assert examine(data, "a", LIMITS.max_pixels) is None
    problem = examine(data[: int(share * len(data))], "a", LIMITS.max_pixels)
    assert problem is not None
    assert problem.code in {"truncated", "undecodable"}


def test_problems_that_come_in_masses_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_MOST_OF_A_KIND", 3)
    task = good_task(tmp_path)
    for number in range(10):
        (task / "circles" / f"bad{number}.png").touch()

    problems = inspect(task, LIMITS).problems
    assert [problem.where for problem in problems[:3]] == [f"circles/bad{number}.png" for number in range(3)]
    assert problems[3].what == "7 more like this one (circles/bad2.png)"
    assert len(problems) == 4


def test_a_task_whose_own_name_cannot_be_stored_is_rejected(tmp_path: Path) -> None:
    inspection = inspect(good_task(tmp_path / "two\nlines"), LIMITS)
    assert [(problem.code, problem.where) for problem in inspection.problems] == [("control-character", ".")]


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert codes(inspect(tmp_path / "gone", LIMITS)) == {"no-such-folder"}


def test_a_linked_task_folder_is_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(good_task(tmp_path / "real"))
    assert inspect(tmp_path / "link", LIMITS).files == inspect(tmp_path / "real", LIMITS).files


@pytest.mark.parametrize("lock", [lambda task: task / "circles" / "0.png", lambda task: task / "circles"])
def test_what_may_not_be_read_is_named(lock: Callable[[Path], Path], unprivileged: Unprivileged) -> None:
    locked = lock(good_task(unprivileged.place / "task"))
    locked.chmod(0)
    with unprivileged:
        problems = inspect(unprivileged.place / "task", LIMITS).problems

    where = str(locked.relative_to(unprivileged.place / "task"))
    assert ("unreadable", where) in [(problem.code, problem.where) for problem in problems]


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(OSError, match="no regular file"):
        read_file(str(tmp_path / "pipe.png"), most=10)


def test_what_plugins_read_belongs_to_the_task_and_is_not_decoded_here(tmp_path: Path) -> None:
    task = good_task(tmp_path / "task", shots=2)
    (task / "circles" / "song.WAV").write_bytes(b"whatever")
    assert codes(inspect(task, LIMITS)) == {"not-an-image"}

    inspection = inspect(task, LIMITS, readers=(".wav",))
    assert codes(inspection) == set()
    assert "circles/song.WAV" in [file.path for file in inspection.files]
    assert inspection.digest != inspect(task, LIMITS).digest

    (task / "circles" / "empty.wav").touch()
    (task / "cover.wav").write_bytes(b"whatever")
    assert codes(inspect(task, LIMITS, readers=(".wav",))) == {"empty-file", "image-in-root"}


def test_every_mistake_in_a_task_yaml_is_a_problem_of_its_own(tmp_path: Path) -> None:
    task = good_task(tmp_path / "task")
    (task / "task.yaml").write_text("holdout: 5\npriorty: 1\n")
    problems = [problem for problem in inspect(task, LIMITS).problems if problem.code == "bad-options"]
    assert [problem.where for problem in problems] == ["task.yaml:1", "task.yaml:2"]
    assert "did you mean priority?" in problems[1].remedy
    assert all("\n" not in problem.what for problem in problems)
