"""What may become knowledge, and what may not."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from learnd.control.knowledge import result_check
from learnd.messages.state_files import EXEMPLARS_FILE, STATISTICS_FILE
from tests.control.candidates import REPORT, candidate, doubles, safetensors, statistics


def test_a_good_candidate_passes(tmp_path: Path) -> None:
    assert result_check.check(tmp_path / "out", candidate(tmp_path / "out")) == REPORT


def test_a_file_that_is_not_what_the_worker_wrote_is_refused(tmp_path: Path) -> None:
    outcome = candidate(tmp_path / "out")
    (tmp_path / "out" / EXEMPLARS_FILE).write_bytes(b"other")
    with pytest.raises(result_check.Refused, match=r"exemplars\.zip"):
        result_check.check(tmp_path / "out", outcome)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    outcome = candidate(tmp_path / "out")
    files = {name: digest for name, digest in outcome.files.items() if name != STATISTICS_FILE}
    with pytest.raises(result_check.Refused, match=r"statistics\.safetensors"):
        result_check.check(tmp_path / "out", replace(outcome, files=files))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    adapted = safetensors({"head": ("F32", (2,), struct.pack("<2f", 1.0, value))})
    outcome = candidate(tmp_path / "out", adapted_safetensors=adapted)
    with pytest.raises(result_check.Refused, match="head holds a value that is not finite"):
        result_check.check(tmp_path / "out", outcome)


def test_statistics_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    outcome = candidate(tmp_path / "out", statistics_safetensors=statistics(total=float("nan")))
    with pytest.raises(result_check.Refused, match="sum"):
        result_check.check(tmp_path / "out", outcome)


def test_statistics_of_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    outcome = candidate(tmp_path / "out", report=replace(REPORT, classes=("a", "b", "c")))
    with pytest.raises(result_check.Refused, match=r"count has shape \(2,\), not \(3,\)"):
        result_check.check(tmp_path / "out", outcome)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        struct.pack("<Q", 10**9) + b"{}",
        struct.pack("<Q", 5) + b"{nope",
        safetensors({"x": ("F32", (3,), b"1234")}),
        safetensors({"x": ("F99", (1,), b"1234")}),
        safetensors({"x": ("F64", (1,), doubles(1.0))})[:-4],
    ],
)
def test_what_is_no_whole_safetensors_file_is_refused(tmp_path: Path, data: bytes) -> None:
    outcome = candidate(tmp_path / "out", adapted_safetensors=data)
    with pytest.raises(result_check.Refused, match=r"adapted\.safetensors"):
        result_check.check(tmp_path / "out", outcome)


def test_an_impossible_accuracy_is_refused(tmp_path: Path) -> None:
    outcome = candidate(tmp_path / "out", report=replace(REPORT, accuracy=1.5))
    with pytest.raises(result_check.Refused, match=r"1\.5"):
        result_check.check(tmp_path / "out", outcome)


def test_an_image_under_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/0123.png", b"an image")
    outcome = candidate(tmp_path / "out", exemplars_zip=buffer.getvalue())
    with pytest.raises(result_check.Refused, match=r"exemplars\.zip: a/0123\.png is not the image that was kept"):
        result_check.check(tmp_path / "out", outcome)
