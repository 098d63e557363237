"""docs/example-plugin is built, installed and tested as its users would, and competes on a task of real images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeTask, digits, make_task
from tests.live import LiveDaemon
from tests.patience import PATIENCE

__all__ = ["digits", "make_task"]  # fixtures

SOURCE = Path(__file__).resolve().parents[2] / "docs" / "example-plugin"

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from, with the package built from a copy of its source: no index is asked for anything."""
    if subprocess.run([sys.executable, "-c", "import setuptools"], check=False).returncode:
        pytest.skip("setuptools, which builds the package, is not here")
    room = tmp_path_factory.mktemp("package")
    shutil.copytree(SOURCE, room / "source")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", room / "site", room / "source"]
    subprocess.run(command, check=True, capture_output=True)
    return room / "site"


def test_its_own_tests_pass_where_it_is_installed(installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SOURCE / "tests"]
    done = subprocess.run(
        [*command, f"--rootdir={SOURCE}"],
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_it_is_found_by_its_entry_point_and_measured_on_a_task_beside_all_others(
    installed: Path, make_task: MakeTask, tmp_path: Path
) -> None:
    with LiveDaemon(tmp_path / "home", "conv4", watch__quiet_seconds="0.3") as live:
        live.environment["PYTHONPATH"] = str(installed)
        shutil.move(make_task("numbers", shots=6), live.tasks)
        done = live.run("run", "--once", timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        listed = {one["name"]: one for one in live.json("plugins", "list")["plugins"]}
        assert (listed["powermean"]["state"], listed["powermean"]["source"]) == ("ok", "entry point")
        report = live.json("show", "numbers")["revisions"][0]["report"]
        scores = {one["algorithm"]: one for one in report["candidates"]}
        assert scores["powermean"]["outcome"] in ("measured", "chosen")
        assert scores["powermean"]["accuracy"] > 0.5  # of five digits chance tells a fifth
        measured = {name: one["accuracy"] for name, one in scores.items() if one["accuracy"] is not None}
        assert measured[report["algorithm"]] == max(measured.values())  # it wins or loses by what was measured
