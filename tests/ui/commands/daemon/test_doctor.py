"""`learnd doctor` names each fault with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from learnd.ui.doctor import checks as checkup
from learnd.ui.doctor import machine
from learnd.ui.doctor.checks import Diagnosis
from tests.ui.conftest import Command


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The limits of inotify, to be planted."""
    folder = tmp_path / "inotify"
    folder.mkdir()
    (folder / "max_user_watches").write_text("1048576\n")
    (folder / "max_user_instances").write_text("128\n")
    monkeypatch.setattr(checkup, "INOTIFY", folder)
    monkeypatch.setattr(checkup, "backend_for", lambda _folder: ("inotify", "it lies on ext4"))
    return folder


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the one look that takes seconds."""
    monkeypatch.setattr(checkup, "_worker", lambda _settings, progress: iter([Diagnosis("worker", "ok", "not asked")]))


def found(learnd: Command, subject: str, *arguments: str) -> dict[str, str]:
    """What is not ok about the one subject, and nothing else."""
    faults = [check for check in learnd("doctor", *arguments, "--json").json["checks"] if check["status"] != "ok"]
    assert {fault["subject"] for fault in faults} == {subject}, faults
    (fault,) = faults
    assert fault["remedy"]
    return {key: str(value) for key, value in fault.items()}


@pytest.fixture
def place(learnd: Command, kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place in order, on a machine without a GPU."""
    assert learnd("init").code == 0
    for name in ("GPU_DRIVER", "GPU_DEVICE"):
        monkeypatch.setattr(machine, name, Path("/nowhere/at/all"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(checkup, "LITTLE_DISK", 0)
    monkeypatch.setattr(checkup, "NO_DISK", 0)


@pytest.mark.slow
def test_three_planted_faults_are_each_named_with_its_fix(
    learnd: Command, place: None, home: Path, kernel: Path
) -> None:
    (kernel / "max_user_watches").write_text("1\n")
    (home / "plugins" / "meta").mkdir(parents=True)
    (home / "plugins" / "mine.py").write_text("import nothing_of_this_name\n")
    (home / "plugins" / "meta" / "maml.safetensors").write_bytes(b"version https://git-lfs")

    checks = learnd("doctor", "--backbone", "conv4", "--json").json["checks"]

    faults = {check["subject"]: (check["text"], check["remedy"]) for check in checks if check["status"] != "ok"}
    assert faults.keys() == {"inotify", "weights", "plugins"}, faults
    assert "max_user_watches 1" in faults["inotify"][0]
    assert "sysctl fs.inotify.max_user_watches=" in faults["inotify"][1]
    assert "maml.safetensors is no safetensors file" in faults["weights"][0]
    assert "learnd meta-train" in faults["weights"][1]
    assert "nothing_of_this_name" in faults["plugins"][0]
    assert faults["plugins"][1] == "learnd plugins info mine"


def test_where_all_is_in_order_nothing_is_found(learnd: Command, place: None, no_worker: None) -> None:
    assert {check["status"] for check in learnd("doctor", "--json").json["checks"]} == {"ok"}


def test_a_torch_that_torchvision_is_not_built_for(
    learnd: Command, place: None, no_worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.metadata, "requires", lambda _name: ["numpy", "torch==2.0.1"])
    fault = found(learnd, "packages")
    assert "is built for torch 2.0.1, and torch is" in fault["text"]
    assert "pip install" in fault["remedy"]


def test_a_gpu_that_is_asked_for_and_has_no_driver(learnd: Command, place: None, no_worker: None) -> None:
    fault = found(learnd, "gpu", "--devices", "[cuda:0]")
    assert (fault["status"], "no NVIDIA driver" in fault["text"]) == ("fail", True)


def test_a_torch_without_gpu_where_one_is_asked_for(
    learnd: Command, place: None, no_worker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "GPU_DRIVER", tmp_path / "inotify" / "max_user_watches")
    monkeypatch.setattr(machine, "version_of", lambda _package: "2.9.0+cpu")
    assert "torch 2.9.0+cpu is built without GPU support" in found(learnd, "gpu", "--devices", "[cuda:0]")["text"]


def test_a_driver_whose_gpu_is_not_used(
    learnd: Command, place: None, no_worker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n")
    monkeypatch.setattr(machine, "GPU_DRIVER", tmp_path / "version")
    assert "NVIDIA driver 550.54.15" in found(learnd, "gpu")["text"]


def test_a_state_on_another_machines_disk(
    learnd: Command, place: None, no_worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "filesystem_of", lambda _folder: "nfs4")
    fault = found(learnd, "state")
    assert ("network file system (nfs4)" in fault["text"], "local disk" in fault["remedy"]) == (True, True)


def test_a_task_folder_that_may_not_be_read(
    learnd: Command, place: None, no_worker: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "tasks" / "closed").mkdir()
    real = machine.os.access
    monkeypatch.setattr(machine.os, "access", lambda path, mode: Path(path).name != "closed" and real(path, mode))
    fault = found(learnd, "tasks")
    assert ("closed" in fault["text"], "chmod" in fault["remedy"]) == (True, True)


def test_few_instances_of_inotify(learnd: Command, place: None, no_worker: None, kernel: Path) -> None:
    (kernel / "max_user_instances").write_text("2\n")
    assert "max_user_instances=16" in found(learnd, "inotify")["remedy"]


def test_torn_weights_are_told_by_their_size(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(100), "b": torch.ones(3)}, file, metadata={"kind": "meta"})
    whole = file.read_bytes()
    assert machine.weights_fault(file) is None
    file.write_bytes(whole[:-1])
    assert machine.weights_fault(file) == f"is {len(whole) - 1:,} bytes long and should be {len(whole):,}"
    file.write_bytes(whole[:8] + b"x" + whole[9:])
    assert machine.weights_fault(file) == "has a damaged header"
    file.write_bytes(b"")
    assert machine.weights_fault(file) == "is no safetensors file (0 bytes)"
    file.unlink()
    assert "cannot be read" in str(machine.weights_fault(file))


def test_learnds_own_weights_are_whole() -> None:
    shipped = machine.shipped_weights()
    assert shipped
    assert [machine.weights_fault(file) for file in shipped] == [None] * len(shipped)
