"""On which file system does a folder lie, and will the kernel tell us when it changes?"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

# inotify sees what this kernel does; on these, others change files behind its back.
_REMOTE = re.compile(
    r"nfs\d*|cifs|smb\w*|9p|fuse|fuse\..+|vboxsf|prl_fs|drvfs|virtiofs|ceph|glusterfs|lustre|afs|ncpfs|gpfs|beegfs\w*|orangefs"
)
_MOUNTS = Path("/proc/self/mountinfo")


def backend_for(path: Path, mounts: Path = _MOUNTS) -> tuple[str, str]:
    """("inotify" | "polling" | "fsevents", why): how changes below path are best noticed."""
    if sys.platform == "darwin":
        return "fsevents", "macOS tells of changes"
    kind = filesystem_of(path, mounts)
    if kind is None:
        return "polling", "its file system is not known"
    if is_remote(kind):
        return "polling", f"it lies on {kind}, whose changes made elsewhere are not announced"
    return "inotify", f"it lies on {kind}"


def is_remote(kind: str) -> bool:
    """Whether other machines may change what lies on a file system of this type."""
    return _REMOTE.fullmatch(kind) is not None


def filesystem_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the file system that path lies on ("ext4", "nfs4"); None if it is not known."""
    real = os.path.realpath(path)
    best, kind = -1, None
    try:
        table = mounts.read_bytes()
    except OSError:
        return None
    for line in table.splitlines():  # 36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda1 rw
        fields, _, rest = line.partition(b" - ")
        point = os.fsdecode(_unescape(fields.split()[4]))
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of two on one point the later one lies on top
            best, kind = len(point), os.fsdecode(rest.split()[0])
    return kind


def _unescape(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)
