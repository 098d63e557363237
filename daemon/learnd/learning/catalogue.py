"""Which algorithms there are: the built-in ones, those of installed packages, and the user's own files.

Every plugin is imported, registered, called and checked by itself.  Whatever goes wrong is the blame of that
plugin alone: it is quarantined with the reason, and all the others run on.  The first to claim a name keeps
it, in the order built-in, entry points, user's folder.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pluggy

from learnd.domain import PluginInfo
from learnd.errors import LearndError, PluginError
from learnd.learning import hooks
from learnd.learning.algorithm import Algorithm, build, did_you_mean, options_of
from learnd.learning.contract import check_class
from learnd.wire import legible

BUILT_IN = "learnd_plugins"  # the package whose __all__ lists the built-in plugins

Options = Mapping[str, Mapping[str, Any]]  # algorithm -> option -> value, as in config.yaml under `plugins`


@dataclass(frozen=True)
class Catalogue:
    """algorithms: name -> an instance with its options.  plugins: everything found, good or bad."""

    algorithms: dict[str, Algorithm] = field(default_factory=dict)
    plugins: tuple[PluginInfo, ...] = ()

    def adding(self, info: PluginInfo, algorithm: Algorithm | None = None) -> Catalogue:
        """This catalogue and one more plugin."""
        more = {} if algorithm is None else {info.name: algorithm}
        return Catalogue({**self.algorithms, **more}, (*self.plugins, info))


@dataclass(frozen=True)
class _Found:
    """A plugin that has not been imported yet."""

    name: str
    source: str
    load: Callable[[], object]


def load_catalogue(
    folder: Path | None,
    options: Options,
    barred: Sequence[PluginInfo] = (),
    importing: Callable[[str, str], None] = lambda name, source: None,
) -> Catalogue:
    """Load every plugin: built-in, entry points of the group "learnd", and the `*.py` of the user's folder.

    Never raises for a plugin's sake; see the `state` and `reason` of Catalogue.plugins.  Options for a name
    that no plugin has are an entry of their own, quarantined, with the source "config.yaml".  barred: plugins that
    are not imported, as they are to be listed.  importing(name, source) is called before each import: a plugin can
    end the process, and then that is the last word of it.
    """
    kept_away = {(info.name, info.source): info for info in barred}
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    catalogue = Catalogue()
    for found in (*_built_in(), *_entry_points(), *_user_files(folder)):
        culprit = kept_away.get((legible(found.name), legible(found.source)))
        if culprit is not None:
            catalogue = catalogue.adding(culprit)
        elif options.get(found.name, {}).get("enabled") is False:  # not even imported: that may be what crashes
            catalogue = catalogue.adding(PluginInfo(found.name, found.source, "disabled"))
        else:
            importing(found.name, found.source)
            catalogue = _add_plugin(catalogue, manager, found, options)
    for name in _nobodys(catalogue, options):
        remedy = did_you_mean(name, list(catalogue.algorithms))
        error = PluginError("there is no algorithm of this name", where=f"plugins.{name}", remedy=remedy)
        catalogue = catalogue.adding(_quarantined(name, "config.yaml", error))
    return catalogue


def _nobodys(catalogue: Catalogue, options: Options) -> list[str]:
    known = {info.name for info in catalogue.plugins}
    return [str(name) for name in options if name not in known]


def _built_in() -> Iterator[_Found]:
    for name in importlib.import_module(BUILT_IN).__all__:
        yield _Found(name, "built-in", partial(importlib.import_module, f"{BUILT_IN}.{name}"))


def _entry_points() -> Iterator[_Found]:
    for point in sorted(entry_points(group=hooks.PROJECT), key=lambda point: (point.name, point.value)):
        yield _Found(point.name, "entry point", point.load)


def _user_files(folder: Path | None) -> Iterator[_Found]:
    """The user's files.  In a checkout their folder is the built-in one: its own are not loaded twice."""
    if folder is None or not folder.is_dir():
        return
    package = importlib.import_module(BUILT_IN)
    home = Path(next(iter(package.__path__))).resolve()
    ours = {home / f"{name}.py" for name in package.__all__}
    for file in sorted(folder.glob("*.py")):
        if not file.name.startswith((".", "_")) and file.resolve() not in ours:
            yield _Found(file.stem, str(file), partial(_import_file, file))


class _Uncached(importlib.machinery.SourceFileLoader):
    """Without bytecode: that would miss an edit within a second, and litter the user's folder."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(file: Path) -> ModuleType:
    """Import a file under a name of its own, new for every new content, so that two versions never mix."""
    digest = hashlib.sha256(bytes(file.resolve()) + b"\0" + file.read_bytes()).hexdigest()[:12]
    name = f"learnd_user_plugin_{digest}"
    spec = importlib.util.spec_from_file_location(name, file, loader=_Uncached(name, str(file)))
    if spec is None or spec.loader is None:
        raise PluginError("cannot be imported", where=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up while it runs
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _add_plugin(catalogue: Catalogue, manager: pluggy.PluginManager, found: _Found, options: Options) -> Catalogue:
    try:
        kinds = _algorithms_of(manager, found)
    except BaseException as error:  # a plugin may raise anything: KeyboardInterrupt, GeneratorExit, its own
        return catalogue.adding(_quarantined(found.name, found.source, error))
    for kind in kinds:
        catalogue = _add_algorithm(catalogue, found, kind, options)
    return catalogue


def _algorithms_of(manager: pluggy.PluginManager, found: _Found) -> list[object]:
    """Import, register and ask one plugin.  Unregisters it, and raises, where it breaks the contract."""
    plugin = found.load()
    try:
        manager.register(plugin, name=f"{found.source}: {found.name}")
        _check_hooks(manager, plugin, found.name)
        others = [other for other in manager.get_plugins() if other is not plugin]
        answers = manager.subset_hook_caller("learnd_algorithms", remove_plugins=others)()
        if len(answers) != 1 or not isinstance(answers[0], list | tuple) or not answers[0]:
            what = f"learnd_algorithms handed back {answers[0] if answers else 'nothing'!r}"
            raise PluginError(what, where=found.name, remedy="hand back a list of Algorithm classes")
    except BaseException:
        if manager.is_registered(plugin):  # a failed registration may have left half of it behind
            manager.unregister(plugin)
        raise
    return list(answers[0])


def _check_hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    known = [caller for caller in dir(manager.hook) if caller.startswith("learnd_")]
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if not caller.has_spec():
            remedy = did_you_mean(caller.name, [k for k in known if getattr(manager.hook, k).has_spec()])
            raise PluginError(f"learnd has no hook {caller.name!r}", where=name, remedy=remedy)
    if not callers:
        remedy = "write @hookimpl def learnd_algorithms() that returns a list of Algorithm classes"
        raise PluginError("implements no hook", where=name, remedy=remedy)


def _add_algorithm(catalogue: Catalogue, found: _Found, kind: object, options: Options) -> Catalogue:
    name = str(getattr(kind, "name", found.name))
    taken = {info.name: info.source for info in catalogue.plugins if info.state == "ok"}
    try:
        checked = check_class(kind)
        if name in taken:
            what = f"the name {name!r} is taken by the plugin of {taken[name]}"
            raise PluginError(what, where=found.name, remedy="give the algorithm another name")
        given = dict(options.get(name, {}))
        enabled = given.pop("enabled", True)
        if not isinstance(enabled, bool):
            where = f"plugins.{name}.enabled"
            raise PluginError("must be true or false", where=where, remedy="write true or false")
        if not enabled:
            return catalogue.adding(PluginInfo(name, found.source, "disabled", summary=checked.summary))
        algorithm = build(checked, given)
    except BaseException as error:
        return catalogue.adding(_quarantined(name, found.source, error))
    info = PluginInfo(name, found.source, "ok", summary=checked.summary, options=options_of(algorithm))
    return catalogue.adding(info, algorithm)


def _quarantined(name: str, source: str, error: BaseException) -> PluginInfo:
    """Blame precisely: the error in a line, then (unless it is our own) the traceback from the plugin on."""
    if isinstance(error, LearndError):
        return PluginInfo(name, source, "quarantined", str(error))
    summary = traceback.format_exception_only(error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    ours = ("importlib", "pluggy", __file__)
    first = next((n for n, f in enumerate(frames) if not any(o in f.filename for o in ours)), len(frames))
    trace = "".join(traceback.format_list(frames[first:]))
    return PluginInfo(name, source, "quarantined", f"{summary}\n{trace}".strip())
