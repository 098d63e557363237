"""How busy each device is and how much of its memory is in use: the CPU from the kernel, GPUs from NVML.

NVML needs the package nvidia-ml-py (`pip install learnd[gpu]`).  Without it, or without a driver, GPUs are left out.
No torch here: a CUDA context of the dashboard's would take memory from the workers.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

GIGABYTE = 1e9


class DeviceUsage:
    """Every read() asks again; what cannot be read is left out."""

    def __init__(self) -> None:
        self._nvml: Any = None
        with suppress(ImportError):
            nvml = importlib.import_module("pynvml")
            with suppress(nvml.NVMLError):  # no driver, or a mismatched one
                nvml.nvmlInit()
                self._nvml = nvml

    def read(self) -> dict[str, str]:
        """Return the text for each device: "cpu", "cuda:0", ..."""
        found = {"cpu": _processor()}
        if self._nvml is not None:
            with suppress(self._nvml.NVMLError):  # a GPU may fall off the bus while the dashboard runs
                for number in range(self._nvml.nvmlDeviceGetCount()):
                    found[f"cuda:{number}"] = self._gpu(number)
        return {name: text for name, text in found.items() if text}

    def _gpu(self, number: int) -> str:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
        memory, rates = self._nvml.nvmlDeviceGetMemoryInfo(handle), self._nvml.nvmlDeviceGetUtilizationRates(handle)
        return f"{rates.gpu} %, {memory.used / GIGABYTE:.1f} of {memory.total / GIGABYTE:.0f} GB"


def _processor(memory: Path = Path("/proc/meminfo")) -> str:
    load = f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()}"
    try:
        lines = dict(line.split(":", 1) for line in memory.read_text().splitlines())
        total, free = (int(lines[name].split()[0]) * 1024 / GIGABYTE for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return load
    return f"{load}, {total - free:.1f} of {total:.0f} GB"
