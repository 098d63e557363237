"""Where plugins come from: the built-in ones, installed packages, and the user's own files.  Imports none of them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, ModuleType

from learnd.errors import PluginError
from learnd.learning.contract.hooks import PROJECT, check_made_for
from learnd.plugin_files import is_plugin

BUILT_IN = "learnd_plugins"  # the package whose __all__ lists the built-in plugins


@dataclass(frozen=True)
class PluginSource:
    """A plugin that has not been imported yet."""

    name: str
    source: str
    load: Callable[[], object]


def find_plugins(folder: Path | None) -> Iterator[PluginSource]:
    """Built-in, entry points of the group "learnd", and the `*.py` of the user's folder, in this order."""
    yield from _built_in()
    yield from _entry_points()
    yield from _user_files(folder)


def _built_in() -> Iterator[PluginSource]:
    for name in importlib.import_module(BUILT_IN).__all__:
        yield PluginSource(name, "built-in", partial(importlib.import_module, f"{BUILT_IN}.{name}"))


def _entry_points() -> Iterator[PluginSource]:
    for point in sorted(entry_points(group=PROJECT), key=lambda point: (point.name, point.value)):
        yield PluginSource(point.name, "entry point", point.load)


def _user_files(folder: Path | None) -> Iterator[PluginSource]:
    """The user's files, or just one.  In a checkout their folder is the built-in one: its own are not loaded twice."""
    if folder is None or not folder.exists():
        return
    package = importlib.import_module(BUILT_IN)
    home = Path(next(iter(package.__path__))).resolve()
    ours = {home / f"{name}.py" for name in package.__all__}
    for file in [folder] if folder.is_file() else sorted(folder.glob("*.py")):
        if is_plugin(file.name) and file.resolve() not in ours:
            yield PluginSource(file.stem, str(file), partial(import_file, file))


class _Uncached(importlib.machinery.SourceFileLoader):
    """Without bytecode: that would miss an edit within a second, and litter the user's folder."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_file(file: Path) -> ModuleType:
    """Import a file under a name of its own, new for every new content, so that two versions never mix.

    A content that this process holds already is not run again.  Raises what the file raises, and PluginError where
    that comes of its being made for another version of the contract.
    """
    digest = hashlib.sha256(bytes(file.resolve()) + b"\0" + file.read_bytes()).hexdigest()[:12]
    name = f"learnd_user_plugin_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file, loader=_Uncached(name, str(file)))
    if spec is None or spec.loader is None:
        raise PluginError("cannot be imported", where=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up while it runs
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        check_made_for(module, file.stem)  # what is missing here may be there in the version that it is made for
        raise
    return module
