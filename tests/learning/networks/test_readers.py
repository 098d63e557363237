"""What plugins read: a picture from a copy of the file, or an error that names the plugin and the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from learnd.errors import ImageError
from learnd.learning.jobs.read_task import Rejected, read_task
from learnd.learning.knowledge import exemplars
from learnd.learning.knowledge.exemplars import Labelled
from learnd.learning.networks.conv4 import GLYPHS
from learnd.learning.networks.images import decode, load_batch
from learnd.learning.networks.readers import FileReader, Reader
from tests.learning.specs import learn_spec


def red(path: Path) -> Tensor:
    """As wide and as high as the file has bytes, and red."""
    side = path.stat().st_size
    return torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, side, side)


READERS = {".dat": FileReader("red", red)}


def test_the_extension_decides_who_reads_a_file() -> None:
    for name in ("a.dat", "dir.png/A.DAT"):
        picture = decode(b"12345", name, readers=READERS)
        assert (picture.mode, picture.size, picture.getpixel((4, 4))) == ("RGB", (5, 5), (255, 0, 0))
    with pytest.raises(ImageError, match=r"is not an image that can be read, and no plugin reads \.wav files"):
        decode(b"12345", "a.wav", readers=READERS)


def test_a_reader_gets_the_bytes_under_the_files_own_name_and_never_the_file(tmp_path: Path) -> None:
    seen: list[Path] = []

    def read(path: Path) -> Tensor:
        seen.append(path)
        assert path.read_bytes() == b"as hashed"
        path.write_bytes(b"scribbled over")
        return red(path)

    file = tmp_path / "bird song.dat"
    file.write_bytes(b"changed meanwhile")
    FileReader("rude", read)(b"as hashed", str(file))
    assert seen[0].name == "bird song.dat"
    assert file.read_bytes() == b"changed meanwhile"
    assert not seen[0].exists()


def _interrupts(path: Path) -> Tensor:
    raise KeyboardInterrupt


def _raises(path: Path) -> Tensor:
    raise KeyError("no header")


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (_raises, "KeyError: 'no header'"),
        (lambda path: exit(3), "SystemExit: 3"),
        (_interrupts, "KeyboardInterrupt: "),
        (lambda path: None, "returned NoneType, not uint8"),
        (lambda path: torch.zeros(3, 8, 8), r"returned \(3, 8, 8\) of torch.float32"),
        (lambda path: torch.zeros(8, 8, 3, dtype=torch.uint8), r"returned \(8, 8, 3\)"),
        (lambda path: torch.zeros(3, 0, 8, dtype=torch.uint8), r"returned \(3, 0, 8\)"),
    ],
)
@pytest.mark.usefixtures("deaf_to_ctrl_c")
def test_a_reader_that_fails_is_named_with_the_file(read: Reader, says: str) -> None:
    with pytest.raises(ImageError, match=f"a.dat: cannot be read by the plugin mine .*{says}") as caught:
        FileReader("mine", read)(b"x", "a.dat")
    assert caught.value.remedy


def test_a_batch_may_mix_them_with_images() -> None:
    images, errors = load_batch([("a.dat", b"123"), ("b.dat", b"12"), ("c.wav", b"x")], GLYPHS, 2, READERS)
    assert images.shape == (2, 1, 28, 28)
    assert [error.where for error in errors] == ["c.wav"]


def test_a_task_of_them_is_read_and_its_exemplars_are_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("a", "b")):
        (tmp_path / "task" / name).mkdir(parents=True)
        for size in (3, 4):
            (tmp_path / "task" / name / f"{size}.dat").write_bytes(bytes([number]) * size)
    monkeypatch.setattr("tests.learning.specs.SUFFIXES", {".dat"})
    spec = learn_spec(tmp_path / "task", tmp_path / "out")
    reading = read_task(spec, GLYPHS, 1, lambda *_: None, READERS)
    assert reading.support.images.shape == (4, 1, 28, 28)
    with pytest.raises(Rejected, match="4 problems") as caught:
        read_task(spec, GLYPHS, 1, lambda *_: None)
    assert {problem.code for problem in caught.value.problems} == {"undecodable"}

    exemplars.write(reading.support.files, tmp_path / "e.zip", READERS)
    import zipfile

    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        names = archive.namelist()
        assert len(names) == 4
        assert all(name.endswith(".png") for name in names)
        assert decode(archive.read(names[0]), names[0]).getpixel((1, 1)) == (255, 0, 0)


def test_the_archive_depends_on_nothing_but_the_files(tmp_path: Path) -> None:
    from learnd.identity import leaf_of

    (tmp_path / "a.dat").write_bytes(b"123")
    files = [Labelled(tmp_path / "a.dat", "a", leaf_of(b"123"))]
    for name in ("one.zip", "two.zip"):
        exemplars.write(files, tmp_path / name, READERS)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
