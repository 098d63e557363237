"""The backend follows from the file system."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from learnd.control.intake.filesystem import backend_for, filesystem_of

TABLE = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /data rw,relatime - nfs4 server:/export rw
31 30 0:31 / /data/fast rw,relatime - xfs /dev/sdb rw
32 22 0:32 / /mnt/with\040space rw - fuse.sshfs host: rw
33 22 0:33 / /share rw - ext4 /dev/sdc rw
34 33 0:34 / /share rw - cifs //host/share rw
""".lstrip()


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    return table


@pytest.mark.parametrize(
    ("path", "kind", "backend"),
    [
        ("/home/me/tasks", "ext4", "inotify"),
        ("/data/tasks", "nfs4", "polling"),
        ("/data/fast/tasks", "xfs", "inotify"),
        ("/database", "ext4", "inotify"),
        ("/mnt/with space/tasks", "fuse.sshfs", "polling"),
        ("/share", "cifs", "polling"),
    ],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no mountinfo")
def test_the_innermost_and_latest_mount_decides(path: str, kind: str, backend: str, mounts: Path) -> None:
    assert filesystem_of(Path(path), mounts) == kind
    chosen, why = backend_for(Path(path), mounts)
    assert chosen == backend
    assert kind in why


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no mountinfo")
def test_without_a_mount_table_polling_is_safe(tmp_path: Path) -> None:
    assert backend_for(tmp_path, tmp_path / "none")[0] == "polling"
