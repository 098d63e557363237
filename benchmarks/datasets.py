"""The benchmarks' images, straight from the archives that LEARND_DATA names: decoded once, resident as uint8."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch
from torch import Tensor

from learnd.learning.networks.images import Preprocess, load_batch
from tests.data import data_folder


@dataclass(frozen=True)
class Images:
    """images: uint8 (N, C, S, S); names[k] is the class whose rows are rows[k], int64 (M_k,)."""

    images: Tensor
    names: tuple[str, ...]
    rows: tuple[Tensor, ...]

    def only(self, names: list[str]) -> Images:
        """The classes of these names alone."""
        wanted = set(names)
        kept = [k for k, name in enumerate(self.names) if name in wanted]
        return Images(self.images, tuple(self.names[k] for k in kept), tuple(self.rows[k] for k in kept))


def read_archives(archives: list[str], preprocess: Preprocess, depth: int) -> Images:
    """Every image of these zips; its class is named by its last `depth` folders, e.g. "Greek/character01"."""
    files: dict[str, list[tuple[str, bytes]]] = {}
    for archive in archives:
        with zipfile.ZipFile(data_folder() / archive) as opened:
            for name in opened.namelist():
                path = PurePosixPath(name)
                if path.suffix in (".png", ".jpg", ".webp"):
                    kind = "/".join(path.parts[-1 - depth : -1])
                    files.setdefault(kind, []).append((name, opened.read(name)))
    names = tuple(sorted(files))
    images, errors = load_batch([file for name in names for file in files[name]], preprocess, 2)
    if errors:
        raise errors[0]
    ends = torch.tensor([len(files[name]) for name in names]).cumsum(0).tolist()
    rows = tuple(torch.arange(end - len(files[name]), end) for name, end in zip(names, ends, strict=True))
    return Images(images, names, rows)


def omniglot(preprocess: Preprocess, parts: tuple[str, ...] = ("background", "evaluation")) -> Images:
    """Omniglot's characters, "<alphabet>/<character>"."""
    return read_archives([f"omniglot/images_{part}.zip" for part in parts], preprocess, 2)


def cifar_fs(preprocess: Preprocess, part: str) -> Images:
    """part: "train" (64 classes), "val" (16) or "test" (20)."""
    return read_archives([f"cifar-fs/{part}.zip"], preprocess, 1)
