"""What `learnd doctor` asks of the machine: packages that fit each other, the GPU and its driver, weights, disks."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path

from learnd.control.intake.filesystem import filesystem_of, is_remote

GPU_DRIVER = Path("/proc/driver/nvidia/version")
GPU_DEVICE = Path("/dev/nvidiactl")
_HEADER_LIMIT = 100_000_000  # bytes, of a safetensors file's header: its reader refuses more


def torch_mismatch() -> str | None:
    """How the installed torchvision and torch do not belong together; None where they do, or cannot be compared."""
    try:
        torch = metadata.version("torch")
        vision, wants = metadata.version("torchvision"), metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None  # that one is missing is said elsewhere
    pinned = next((found[1] for want in wants if (found := re.match(r"torch\s*\(?==\s*([0-9.]+)", want))), None)
    if pinned is None or pinned == torch.partition("+")[0]:
        return None
    return f"torchvision {vision} is built for torch {pinned}, and torch is {torch}"


def version_of(package: str) -> str:
    """The version of an installed package; "" where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def driver() -> str | None:
    """The version of the NVIDIA driver, "?" where it does not tell; None if there is none."""
    try:
        text = GPU_DRIVER.read_text()
    except OSError:
        return "?" if GPU_DEVICE.exists() else None
    found = re.search(r"\b(\d{3,}(?:\.\d+)+)\b", text)
    return found[1] if found else "?"


def remote(folder: Path) -> str | None:
    """The file system of a folder, where it is one of another machine."""
    kind = filesystem_of(folder)
    return kind if kind is not None and is_remote(kind) else None


def shipped_weights() -> list[Path]:
    """The weights that come with learnd."""
    folder = Path(str(resources.files("learnd"))) / "weights"
    return sorted(folder.rglob("*.safetensors"))


def weights_fault(file: Path) -> str | None:
    """What is wrong with a safetensors file, by its size and header alone; None: nothing."""
    try:
        size = file.stat().st_size
        with open(file, "rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(_HEADER_LIMIT, size - 8):
                return f"is no safetensors file ({size:,} bytes)"
            header = json.loads(stream.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "has a damaged header"
    wanted = 8 + length + max(ends, default=0)
    return None if size == wanted else f"is {size:,} bytes long and should be {wanted:,}"


def unreadable(folder: Path, names: Sequence[str]) -> list[str]:
    """Of the task folders, those that may not be entered and listed."""
    return [name for name in names if not os.access(folder / name, os.R_OK | os.X_OK)]
