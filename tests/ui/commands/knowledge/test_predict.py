"""`predict`, `doctor` and `plugins` with a real worker, on a state that a real daemon has learnt."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.errors import StateError
from learnd.messages.outcomes import Prediction
from learnd.ui.commands.knowledge import predict
from learnd.ui.examples.bundled import write_example
from tests.live import LiveDaemon
from tests.ui.conftest import Command, learn


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> LiveDaemon:
    """Two tasks of digits, learnt by `learnd run --once`; the images held out lie in new/."""
    home = tmp_path_factory.mktemp("learned")
    daemon = LiveDaemon(home, watch__quiet_seconds="0.1")
    for name in ("digits-0-4", "digits-5-9"):
        write_example(name, daemon.tasks / name, home / "new" / name)
    done = daemon.run("run", "--once")
    assert done.returncode == 0, done.stderr
    return daemon


@pytest.mark.slow
def test_predict_among_everything_ever_learnt(learned: LiveDaemon) -> None:
    data = learned.json("predict", "new", "--top", "2")

    assert (data["schema"], data["knowledge_version"]) == (1, 2)
    assert len(data["predictions"]) == 40
    for one in data["predictions"]:
        assert one.keys() == {"image", "task", "class", "probability", "unknown", "top"}
        assert [guess.keys() for guess in one["top"]] == [{"task", "class", "probability"}] * 2
        assert one["top"][0] == {key: one[key] for key in ("task", "class", "probability")}
        assert round(one["probability"], 6) == one["probability"]
    images = [one["image"] for one in data["predictions"]]
    assert images == sorted(images)
    assert images[0] == "new/digits-0-4/0/01.png"
    right = sum(one["class"] == one["image"].split("/")[2] for one in data["predictions"])
    assert right >= 30


@pytest.mark.slow
def test_an_image_that_cannot_be_read_is_told_in_its_place_and_the_others_are_answered(learned: LiveDaemon) -> None:
    good = "new/digits-5-9/7/01.png"
    (learned.home / "broken.png").write_text("no image")

    done = learned.run("predict", "gone.png", good, "broken.png", "--task", "digits-5-9", "--json")

    assert done.returncode == 1
    gone, answered, broken = json.loads(done.stdout)["predictions"]
    assert (gone["image"], gone["error"], gone["class"], gone["top"]) == ("gone.png", "there is no such file", None, [])
    assert (answered["image"], answered["task"]) == (good, "digits-5-9")
    assert "error" not in answered
    assert broken["image"] == "broken.png"
    assert broken["error"]
    text = learned.run("predict", "gone.png", good, "--top", "99")
    assert "digits-0-4/3 " in text.stdout  # a class of another task than the best guess's
    assert text.returncode == 1
    assert [line.split()[0] for line in text.stdout.splitlines()] == ["image", "gone.png", good]


@pytest.mark.slow
def test_doctor_finds_all_in_order_with_a_worker_that_starts(learned: LiveDaemon) -> None:
    done = learned.run("doctor", "--json")

    data = json.loads(done.stdout)
    found = {check["subject"]: check for check in data["checks"]}
    assert (done.returncode, data["ok"]) == (0, True), data
    assert found.keys() >= {"python", "packages", "settings", "tasks", "state", "disk", "journal", "knowledge"}
    assert found["worker"]["text"].startswith("conv4 ")
    assert "ridge" in found["plugins"]["text"]


@pytest.mark.slow
def test_a_new_state_asks_a_worker_which_plugins_there_are(learned: LiveDaemon, home: Path) -> None:
    (home / "plugins").mkdir()
    (home / "plugins" / "mine.py").write_text("import nowhere_at_all\n")

    done = learned.run("plugins", "--json", "--state", home / "state", "--plugins-dir", home / "plugins")

    found = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    assert found["protonet"]["state"] == "ok"
    assert found["mine"]["state"] == "quarantined"
    assert "nowhere_at_all" in found["mine"]["reason"]
    assert not (home / "state").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "victim",
    [
        "tasks/digits-0-4-*/1/statistics.safetensors",
        "tasks/digits-0-4-*/1/adapted.safetensors",
        "backbones/*.safetensors",
        "generations/1-*/manifest.json",
    ],
)
def test_a_flipped_bit_is_named_and_never_answered_from(victim: str, learned: LiveDaemon, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(learned.state, state)
    (path,) = state.glob(victim)
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))

    done = learned.run(
        *("predict", "new/digits-0-4/0/01.png", "--json", "--state", state, "--tasks", learned.tasks),
        *("--task", "digits-0-4"),
    )

    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert f"{path}: is not what was committed" in done.stderr
    assert "restore it from a backup" in done.stderr


@pytest.mark.slow
def test_the_doctor_names_damage_and_exits_with_3(learned: LiveDaemon, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(learned.state, state)
    (path,) = state.glob("tasks/digits-5-9-*/1/exemplars.zip")
    path.unlink()

    done = learned.run("doctor", "--json", "--state", state, "--tasks", learned.tasks)

    assert done.returncode == 3
    data = json.loads(done.stdout)
    (found,) = (check for check in data["checks"] if check["status"] == "fail")
    assert not data["ok"]
    assert found.keys() == {"subject", "status", "text", "remedy"}
    assert (found["subject"], found["text"]) == ("knowledge", f"{path}: is missing")


def test_before_anything_is_learnt_predict_says_so(learnd: Command, home: Path) -> None:
    said = learnd("predict", "a.png")

    assert said.code == 1
    assert "nothing has been learnt yet" in said.err


def test_a_mistyped_task_is_recognised(learnd: Command, state: Path) -> None:
    said = learnd("predict", "a.png", "--task", "brids")

    assert said.code == 2
    assert "did you mean 'birds'?" in said.err


def test_a_task_that_is_not_learnt_cannot_be_asked(learnd: Command, state: Path) -> None:
    said = learnd("predict", "a.png", "--task", "grows")

    assert said.code == 1
    assert "'grows' is waiting" in said.err


def test_another_backbone_than_the_state_was_made_with_is_an_error(learnd: Command, state: Path) -> None:
    journal = Journal(state / JOURNAL)
    journal.put("backbone_hash", "c0ffee")
    journal.close()

    said = learnd("predict", "a.png", "--backbone", "lite0")

    assert said.code == 3
    assert "made with backbone 'conv4'" in said.err


def test_where_no_image_is_there_no_worker_is_started(
    learnd: Command, state: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learnd.ui.one_shot_worker.start_worker", None)
    (home / "empty").mkdir()
    os.mkfifo(home / "pipe.png")

    said = learnd("predict", "gone.png", "empty", "pipe.png", "x" * 300, "--json")

    assert said.code == 1
    errors = [one["error"] for one in said.json["predictions"]]
    assert errors == [
        "there is no such file",
        "there is no image in this folder",
        "is no regular file (a pipe, a socket or a device)",
        "cannot be read (File name too long)",
    ]


def test_what_was_forgotten_while_it_was_asked_about_is_no_damage(
    learnd: Command, state: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "x.png").touch()
    asked: list[tuple[str, ...]] = []

    def worker(_settings: object, known: predict._Knowledge, paths: list[str], *_: object) -> list[Prediction]:
        asked.append(tuple(member.name for member in known.members))
        if len(asked) == 1:
            assert learnd("forget", "moths", "--yes").code == 0
            raise StateError("statistics.safetensors: is missing")
        return [Prediction(path, ()) for path in paths]

    monkeypatch.setattr(predict, "_ask_worker", worker)
    journal = Journal(state / JOURNAL)
    while (held := journal.jobs.lease("cpu:0")) is not None:
        journal.jobs.give_up(held, "failed", "no way")
    learn(journal, state, "moths")
    journal.close()
    assert learnd("predict", "x.png", "--backbone", "conv4", "--json").code == 0
    assert asked == [("birds", "moths"), ("birds",)]


@pytest.mark.slow
def test_a_worker_that_cannot_start_says_why(learnd: Command, home: Path) -> None:
    said = learnd("plugins", "--backbone", f"timm:resnet18@{home / 'gone.safetensors'}")

    assert said.code == 1
    assert "gone.safetensors" in said.err
    assert "Traceback" not in said.err.split("\n")[0]


def test_a_worker_that_dies_is_told_with_its_last_words(
    learnd: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(home))
    (home / "torch.py").write_text("import os, sys; print('the last words', file=sys.stderr, flush=True); os._exit(7)")

    said = learnd("plugins")

    assert said.code == 1
    assert "the worker ended with exit code 7" in said.err
    assert "the last words" in said.err
