"""Files of other kinds as pictures: sounds, scans, whatever a plugin reads (hook `learnd_readers`)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from PIL import Image
from torch import Tensor

from learnd.errors import ImageError, PluginError
from learnd.learning.plugin_faults import accuse

Reader = Callable[[Path], Tensor]  # a file -> uint8 (3, H, W)


@dataclass(frozen=True)
class FileReader:
    """A plugin's reader, at arm's length.  plugin: its name, for the blame."""

    plugin: str
    read: Reader

    def __call__(self, data: bytes, where: str) -> Image.Image:
        """The picture ("RGB") of a file with this content.

        The reader is handed a copy: it reads the very bytes that were hashed, and cannot touch a user's own file.
        Raises ImageError if it raises or breaks its contract, OSError if the copy finds no room.
        """
        with tempfile.TemporaryDirectory(prefix="learnd-", ignore_cleanup_errors=True) as folder:
            copy = Path(folder, PurePath(where).name)
            copy.write_bytes(data)
            try:
                pixels = _check(self.read(copy), self.plugin)
            except BaseException as error:
                accuse(error)
                what = f"cannot be read by the plugin {self.plugin} ({type(error).__name__}: {error})"
                raise ImageError(what, where=where, remedy="mend the file, or the plugin, or take one away") from error
        return Image.fromarray(pixels.detach().cpu().permute(1, 2, 0).numpy())


def _check(pixels: object, plugin: str) -> Tensor:
    if not isinstance(pixels, Tensor):
        raise PluginError(f"returned {type(pixels).__name__}, not uint8 (3, H, W)", where=plugin)
    if pixels.dtype != torch.uint8 or pixels.ndim != 3 or pixels.shape[0] != 3 or not pixels.numel():
        raise PluginError(f"returned {tuple(pixels.shape)} of {pixels.dtype}, not uint8 (3, H, W)", where=plugin)
    return pixels
