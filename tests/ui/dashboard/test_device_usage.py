"""Device usage is shown if it can be read, and left out if not."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from learnd.ui.dashboard.device_usage import DeviceUsage, _processor


class Nvml:
    """Two GPUs, as nvidia-ml-py describes them."""

    NVMLError = RuntimeError
    lost = False

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        if self.lost:
            raise RuntimeError("GPU is lost")
        return SimpleNamespace(used=(handle + 1) * 10e9, total=80e9)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=40 + handle)


def test_gpus_are_read_through_nvml_and_a_lost_gpu_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    usage = DeviceUsage()
    read = usage.read()
    assert (read["cuda:0"], read["cuda:1"]) == ("40 %, 10.0 of 80 GB", "41 %, 20.0 of 80 GB")
    nvml.lost = True
    assert set(usage.read()) == {"cpu"}


def test_without_nvml_only_the_cpu_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    (text,) = DeviceUsage().read().values()
    assert re.fullmatch(r"load \d+\.\d of \d+, \d+\.\d of \d+ GB", text)


def test_without_meminfo_only_the_load_is_shown(tmp_path: Path) -> None:
    assert re.fullmatch(r"load \d+\.\d of \d+", _processor(tmp_path / "absent"))
