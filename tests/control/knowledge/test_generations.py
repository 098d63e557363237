"""Commits, and what is left of them after a kill at any point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnd.control.journal.versions import StaleEpoch
from learnd.errors import StateError, StateUnavailable
from learnd.identity import sha256_of
from learnd.messages.state_files import ADAPTED_FILE, EXEMPLARS_FILE, MANIFEST_FILE, REPORT_FILE, STATISTICS_FILE
from tests.control.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_commit_is_an_immutable_generation_with_checksums(home: Home) -> None:
    assert [home.learn("cats"), home.learn("dogs")] == [1, 2]
    assert home.generations.verify() == 8
    (folder,) = home.generations.generations.glob("2-*")
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    assert manifest["parent"] == 1
    assert manifest["parent_sha256"] == home.journal.manifest(1)
    assert set(manifest["added"]["dogs/1"]) == {
        ADAPTED_FILE,
        STATISTICS_FILE,
        EXEMPLARS_FILE,
        REPORT_FILE,
    }


def test_a_new_revision_takes_the_place_of_the_old_one_whose_files_stay(home: Home) -> None:
    home.learn("cats", "d1")
    home.learn("cats", "d2")
    (folder,) = home.generations.generations.glob("2-*")
    assert json.loads((folder / MANIFEST_FILE).read_text())["removed"] == ["cats/1"]
    assert (home.generations.tasks / "cats" / "1" / REPORT_FILE).is_file()


def test_after_a_kill_before_the_transaction_the_state_is_the_old_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.learn("cats")
    held = home.lease("dogs")
    with monkeypatch.context() as patch:
        patch.setattr(home.journal.jobs, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            home.commit(held)
    assert (home.generations.tasks / "dogs" / "1").is_dir()

    removed = home.generations.prepare()
    home.journal.jobs.recover()
    assert {f"generations/2-{held.epoch}", "tasks/dogs/1", f"work/{held.job}-{held.epoch}"} <= set(removed)
    assert home.journal.head == 1
    again = home.journal.jobs.lease("cpu:0")
    assert again is not None
    assert home.commit(again) == 2
    assert home.generations.verify() == 8


def test_without_its_journal_nothing_of_a_state_is_swept_away(home: Home) -> None:
    home.learn("cats")
    home.learn("dogs")
    home.journal.close()
    for path in home.state.glob("journal.sqlite*"):
        path.unlink()

    with pytest.raises(StateError, match="the journal knows 0 generations, and generation 2 is there"):
        Home(home.state)
    assert len(list(home.state.glob("tasks/*/*/statistics.safetensors"))) == 2


def test_a_late_commit_cannot_touch_what_was_committed_since(home: Home) -> None:
    late = home.lease("cats")
    home.journal.tasks.skip("cats")
    home.journal.tasks.retry("cats")
    home.learn("cats")
    with pytest.raises(StaleEpoch):
        home.commit(late)
    assert home.generations.verify() == 4


@pytest.mark.parametrize("victim", ["tasks/cats/1/adapted.safetensors", "generations/*/manifest.json"])
def test_verify_names_the_file_that_rotted(home: Home, victim: str) -> None:
    home.learn("cats")
    (path,) = home.state.glob(victim)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StateError, match=path.name):
        home.generations.verify()


def test_members_come_with_what_vouches_for_their_files(home: Home) -> None:
    home.learn("dogs")
    home.learn("cats", "d1")
    home.learn("cats", "d2")
    cats, dogs = home.generations.members()
    assert (cats.name, cats.revision, dogs.name) == ("cats", 2, "dogs")
    for member in (cats, dogs):
        assert member.statistics == sha256_of(Path(member.folder, STATISTICS_FILE))
        assert member.adapted == sha256_of(Path(member.folder, ADAPTED_FILE))
    assert home.generations.committed("cats", 1).keys() == home.generations.committed("cats", 2).keys()
    assert home.generations.committed("cats", 3) == {}


def test_a_forged_manifest_vouches_for_nothing(home: Home) -> None:
    home.learn("cats")
    (path,) = home.state.glob("generations/*/manifest.json")
    path.write_text(path.read_text().replace("cats", "dogs"))
    with pytest.raises(StateError, match=r"manifest\.json: is not what was committed"):
        home.generations.members()


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_damaged_copy_of_the_backbone_is_never_handed_out(damage: str, home: Home, tmp_path: Path) -> None:
    (tmp_path / "exported").write_bytes(b"weights")
    home.generations.keep_backbone("conv4", tmp_path / "exported", "abc")
    copy = home.generations.backbones / "abc.safetensors"
    copy.unlink()
    if damage == "flipped":
        copy.write_bytes(b"weighty")
    with pytest.raises(StateError, match=r"abc\.safetensors"):
        home.generations.backbone("conv4")


def test_a_state_keeps_its_own_backbone_and_refuses_another(home: Home, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    exported.write_bytes(b"weights")
    home.generations.keep_backbone("conv4", exported, "abc")

    spec = home.generations.backbone("conv4")
    assert (spec.name, spec.hash) == ("conv4", "abc")
    assert Path(spec.file or "").read_bytes() == b"weights"
    with pytest.raises(StateError, match="made with backbone 'conv4', the settings say 'lite0'"):
        home.generations.backbone("lite0")


def test_after_a_rollback_the_knowledge_is_what_it_was_to_the_byte_and_forward_again(home: Home) -> None:
    versions = {}
    for name, digest in (("cats", "d1"), ("dogs", "d2"), ("cats", "d3")):
        version = home.learn(name, digest)
        versions[version] = home.knowledge()
    for version in (1, 3, 2, 3, 1):
        home.generations.roll_back(version)
        assert home.knowledge() == versions[version]
    assert home.journal.head == 8
    assert home.generations.verify() == 12


def test_a_rollback_is_a_generation_whose_manifest_says_what_it_changed(home: Home) -> None:
    home.learn("cats", "d1")
    home.learn("cats", "d2")
    home.generations.roll_back(1)
    (folder,) = home.generations.generations.glob("3-*")
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    assert (manifest["added"], manifest["restored"], manifest["removed"]) == ({}, ["cats/1"], ["cats/2"])
    assert manifest["parent_sha256"] == home.journal.manifest(2)


def test_a_rollback_to_what_is_damaged_changes_nothing(home: Home) -> None:
    home.learn("cats", "d1")
    home.learn("cats", "d2")
    (home.generations.tasks / "cats/1/exemplars.zip").unlink()
    with pytest.raises(StateError, match=r"exemplars\.zip: is missing"):
        home.generations.roll_back(1)
    assert home.journal.head == 2
    assert home.states() == {"cats/1": "learned", "cats/2": "learned"}


def test_of_a_forgotten_task_nothing_is_left_on_the_disk(home: Home) -> None:
    home.learn("cats", "d1")
    home.learn("dogs", "d2")
    home.learn("cats", "d3")
    home.generations.forget("cats")
    assert {path.split("/")[0] for path in home.files()} == {"dogs"}
    assert home.generations.verify() == 4
    journal = b"".join(path.read_bytes() for path in home.state.glob("journal.sqlite*"))
    assert b"dogs-image.png" in journal
    assert b"cats-image.png" not in journal


def test_a_task_that_was_forgotten_and_learnt_again_is_vouched_for_by_its_new_manifest(home: Home) -> None:
    home.learn("cats", "d1")
    home.generations.forget("cats")
    home.journal.tasks.retry("cats")
    home.learn("cats", "d1")
    assert home.generations.verify() == 4
    assert [member.revision for member in home.generations.members()] == [2]


def test_files_that_cannot_be_removed_are_said_and_go_when_it_is_done_once_more(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.learn("cats")

    def stuck(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", stuck)
        with pytest.raises(StateUnavailable, match=r"'cats' is forgotten, but .* could not all be removed"):
            home.generations.forget("cats")
    assert home.generations.members() == ()
    assert home.files() >= {"cats/1"}
    home.generations.forget("cats")
    assert home.files() == set()


def test_what_no_kept_version_needs_is_removed(tmp_path: Path) -> None:
    home = Home(tmp_path, retention=2)
    home.learn("cats", "d1")
    home.learn("cats", "d2")
    assert (home.generations.tasks / "cats/1").is_dir()  # of version 1, which can be returned to
    home.learn("dogs", "d3")
    assert not (home.generations.tasks / "cats/1").exists()
    home.generations.roll_back(2)
    home.learn("cats", "d4")  # versions 4 and 5 are kept, and dogs are in neither
    assert {path for path in home.files() if path.count("/") == 1} == {"cats/2", "cats/3"}
    assert home.generations.verify() == 8


def test_a_daemon_that_shall_keep_fewer_versions_removes_the_rest_at_its_start(home: Home) -> None:
    for digest in ("d1", "d2", "d3"):
        home.learn("cats", digest)
    assert Home(home.state, retention=1).files() >= {"cats/3"}
    assert not {"cats/1", "cats/2"} & home.files()
