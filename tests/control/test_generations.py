"""Commits, and what is left of them after a kill at any point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnd.control.generations import Generations
from learnd.control.jobs import Lease, StaleEpoch
from learnd.control.journal import Journal
from learnd.errors import StateError
from learnd.identity import sha256_of
from tests.control.candidates import candidate, named


class Home:
    """A state with a journal, and tasks learnt by hand."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.journal = Journal(state / "journal.sqlite", create=True)
        self.generations = Generations(state, self.journal)
        self.generations.prepare()

    def lease(self, name: str, digest: str = "d1") -> Lease:
        self.journal.jobs.accept(
            name, name, fingerprint=digest, digest=digest, ways=2, images=10, priority=0, spec={}
        )
        held = self.journal.jobs.lease("cpu:0")
        assert held is not None
        return held

    def commit(self, held: Lease) -> int:
        out = self.state / "work" / f"{held.job}-{held.epoch}" / "out"
        report = named(held.name, held.revision)
        return self.generations.commit(held, report, candidate(out, report), out).number

    def learn(self, name: str, digest: str = "d1") -> int:
        return self.commit(self.lease(name, digest))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_commit_is_an_immutable_generation_with_checksums(home: Home) -> None:
    assert [home.learn("cats"), home.learn("dogs")] == [1, 2]
    assert home.generations.verify() == 8
    (folder,) = home.generations.generations.glob("2-*")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["parent"] == 1
    assert manifest["parent_sha256"] == home.journal.manifest(1)
    assert set(manifest["added"]["dogs/1"]) == {
        "adapted.safetensors",
        "statistics.safetensors",
        "exemplars.zip",
        "report.json",
    }


def test_a_new_revision_takes_the_place_of_the_old_one_whose_files_stay(home: Home) -> None:
    home.learn("cats", "d1")
    home.learn("cats", "d2")
    (folder,) = home.generations.generations.glob("2-*")
    assert json.loads((folder / "manifest.json").read_text())["removed"] == ["cats/1"]
    assert (home.generations.tasks / "cats" / "1" / "report.json").is_file()


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
        assert member.statistics == sha256_of(Path(member.folder, "statistics.safetensors"))
        assert member.adapted == sha256_of(Path(member.folder, "adapted.safetensors"))
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
