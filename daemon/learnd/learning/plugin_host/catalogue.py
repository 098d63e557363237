"""Which algorithms there are, and what else plugins bring.

Every plugin is imported, registered, called and checked by itself.  Whatever goes wrong is the blame of that
plugin alone: it is quarantined with the reason, and all the others run on.  The first to claim a name keeps
it, in the order built-in, entry points, user's folder.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pluggy

from learnd.errors import LearndError, PluginError
from learnd.learning.contract import hooks
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.contract.checks import CHECKS, check_class
from learnd.learning.contract.options import build, options_of
from learnd.learning.networks.readers import FileReader, Reader
from learnd.learning.networks.zoo import Builder
from learnd.learning.plugin_host import discovery
from learnd.learning.plugin_host.discovery import PluginSource, find_plugins
from learnd.messages.convert import legible
from learnd.messages.plugins import Event, PluginInfo, PluginState
from learnd.suggest import did_you_mean

Options = Mapping[str, Mapping[str, Any]]  # algorithm -> option -> value, as in config.yaml under `plugins`
Barred = Mapping[tuple[str, str], PluginInfo]  # by name and source


@dataclass(frozen=True)
class Observer:
    """A plugin's learnd_event.  source: as in PluginInfo."""

    name: str
    source: str
    observe: Callable[[Event], object]


@dataclass(frozen=True)
class Catalogue:
    """algorithms: name -> an instance with its options.  plugins: everything found, good or bad.

    readers: extension -> how such a file becomes a picture.  observers: who want events.
    backbones: name -> function that builds the network.
    """

    algorithms: dict[str, Algorithm] = field(default_factory=dict)
    plugins: tuple[PluginInfo, ...] = ()
    readers: dict[str, FileReader] = field(default_factory=dict)
    observers: tuple[Observer, ...] = ()
    backbones: dict[str, Builder] = field(default_factory=dict)

    def unfit(self, name: str) -> PluginInfo | None:
        """The entry of an algorithm that was found and cannot be used; None if it can be, or is not there."""
        if name in self.algorithms:
            return None
        return next((info for info in self.plugins if info.name == name and info.state is not PluginState.OK), None)

    def adding(self, info: PluginInfo, algorithm: Algorithm | None = None) -> Catalogue:
        """This catalogue and one more plugin."""
        more = {} if algorithm is None else {info.name: algorithm}
        return replace(self, algorithms={**self.algorithms, **more}, plugins=(*self.plugins, info))

    def noting(self, found: PluginSource, what: str) -> Catalogue:
        """This catalogue, with one more thing that a plugin does; its algorithm of the same name shares the entry."""
        same = next((one for one in self.plugins if (one.name, one.source) == (found.name, found.source)), None)
        if same is None:
            return self.adding(PluginInfo(found.name, found.source, PluginState.OK, summary=what))
        more = replace(same, summary="; ".join(filter(None, [same.summary, what])))
        return replace(self, plugins=tuple(more if one is same else one for one in self.plugins))


def load_catalogue(
    folder: Path | None,
    options: Options,
    barred: Sequence[PluginInfo] = (),
    importing: Callable[[str, str], None] = lambda name, source: None,
) -> Catalogue:
    """Load every plugin: built-in, entry points of the group "learnd", and the `*.py` of the user's folder.

    Never raises for a plugin's sake; see the `state` and `reason` of Catalogue.plugins.  Options for a name
    that no plugin has are an entry of their own, quarantined, with the source "config.yaml".  barred: as they are to
    be listed, plugins that are not imported, and algorithms that are left out of what a plugin brings.
    importing(name, source) is called before each import: a plugin can end the process, and then that is the last
    word of it.
    """
    kept_away = {(info.name, info.source): info for info in barred}
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    catalogue = Catalogue()
    for found in find_plugins(folder):
        culprit = kept_away.get((legible(found.name), legible(found.source)))
        if culprit is not None:
            catalogue = catalogue.adding(culprit)
        elif options.get(found.name, {}).get("enabled") is False:  # not even imported: that may be what crashes
            catalogue = catalogue.adding(PluginInfo(found.name, found.source, PluginState.DISABLED))
        else:
            importing(found.name, found.source)
            catalogue = _add_plugin(catalogue, manager, found, options, kept_away)
    for name in _nobodys(catalogue, options):
        remedy = did_you_mean(name, catalogue.algorithms)
        error = PluginError("there is no algorithm of this name", where=f"plugins.{name}", remedy=remedy)
        catalogue = catalogue.adding(_quarantined(name, "config.yaml", error))
    return catalogue


def _nobodys(catalogue: Catalogue, options: Options) -> list[str]:
    known = {info.name for info in catalogue.plugins}
    return [str(name) for name in options if name not in known]


@dataclass(frozen=True)
class _Brought:
    """What one plugin hands over.  algorithms: not checked yet, so that each is blamed by itself."""

    algorithms: Sequence[object] = ()
    readers: dict[str, Reader] = field(default_factory=dict)
    observe: Callable[[Event], object] | None = None
    backbones: dict[str, Builder] = field(default_factory=dict)


def _add_plugin(
    catalogue: Catalogue, manager: pluggy.PluginManager, found: PluginSource, options: Options, kept_away: Barred
) -> Catalogue:
    try:
        brought = _load(manager, found)
        _check_untaken(catalogue, found, brought)
    except BaseException as error:  # a plugin may raise anything: KeyboardInterrupt, GeneratorExit, its own
        return catalogue.adding(_quarantined(found.name, found.source, error))
    for kind in brought.algorithms:
        catalogue = _add_algorithm(catalogue, found, kind, options, kept_away)
    return _add_extensions(catalogue, found, brought)


def _load(manager: pluggy.PluginManager, found: PluginSource) -> _Brought:
    """Import, register and ask one plugin.  Unregisters it, and raises, where it breaks the contract."""
    plugin = found.load()
    hooks.check_made_for(plugin, found.name)
    try:
        manager.register(plugin, name=f"{found.source}: {found.name}")
        others = [other for other in manager.get_plugins() if other is not plugin]
        brought: dict[str, Any] = {}
        for hook in _check_hooks(manager, plugin, found.name):
            if hook == "learnd_event":
                brought["observe"] = _observer(manager, plugin)
                continue
            answers = manager.subset_hook_caller(hook, remove_plugins=others)()
            brought[hook.removeprefix("learnd_")] = CHECKS[hook](answers[0] if answers else None, found.name)
        return _Brought(**brought)
    except BaseException:
        if manager.is_registered(plugin):  # a failed registration may have left half of it behind
            manager.unregister(plugin)
        raise


def _observer(manager: pluggy.PluginManager, plugin: object) -> Callable[[Event], object]:
    """The plugin's own function, which may leave the argument out as every hook may."""
    implementation = next(one for one in manager.hook.learnd_event.get_hookimpls() if one.plugin is plugin)
    function: Callable[..., object] = implementation.function
    return function if implementation.argnames else lambda _event: function()


def _check_untaken(catalogue: Catalogue, found: PluginSource, brought: _Brought) -> None:
    for extension in brought.readers:
        if extension in catalogue.readers:
            what = f"{extension} files are read by the plugin {catalogue.readers[extension].plugin} already"
            raise PluginError(what, where=found.name, remedy="leave it out, or switch the other off")
    for name in brought.backbones:
        if name in catalogue.backbones:
            what = f"another plugin brings a backbone {name!r} already"
            raise PluginError(what, where=found.name, remedy="give it another name")


def _add_extensions(catalogue: Catalogue, found: PluginSource, brought: _Brought) -> Catalogue:
    """What it brings besides algorithms; the plugin's entry says so."""
    if brought.readers:
        readers = {extension: FileReader(found.name, read) for extension, read in brought.readers.items()}
        catalogue = replace(catalogue, readers={**catalogue.readers, **readers})
        catalogue = catalogue.noting(found, f"reads {', '.join(sorted(readers))}")
    if brought.backbones:
        catalogue = replace(catalogue, backbones={**catalogue.backbones, **brought.backbones})
        catalogue = catalogue.noting(found, f"brings {', '.join(f'plugin:{name}' for name in brought.backbones)}")
    if brought.observe is not None:
        observer = Observer(found.name, found.source, brought.observe)
        catalogue = replace(catalogue, observers=(*catalogue.observers, observer)).noting(found, "observes events")
    return catalogue


def _check_hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> list[str]:
    """The names of the hooks that a plugin implements.  Raises PluginError."""
    known = [caller for caller in dir(manager.hook) if caller.startswith("learnd_")]
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if not caller.has_spec():
            remedy = did_you_mean(caller.name, [k for k in known if getattr(manager.hook, k).has_spec()])
            raise PluginError(f"learnd has no hook {caller.name!r}", where=name, remedy=remedy)
    if not callers:
        remedy = "write @hookimpl def learnd_algorithms() that returns a list of Algorithm classes"
        raise PluginError("implements no hook", where=name, remedy=remedy)
    return [caller.name for caller in callers]


def _add_algorithm(
    catalogue: Catalogue, found: PluginSource, kind: object, options: Options, kept_away: Barred
) -> Catalogue:
    name = str(getattr(kind, "name", found.name))
    if (barred := kept_away.get((legible(name), legible(found.source)))) is not None:
        return catalogue.adding(barred)
    taken = {info.name: info.source for info in catalogue.plugins if info.state is PluginState.OK}
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
            return catalogue.adding(PluginInfo(name, found.source, PluginState.DISABLED, summary=checked.summary))
        algorithm = build(checked, given)
    except BaseException as error:
        return catalogue.adding(_quarantined(name, found.source, error))
    info = PluginInfo(name, found.source, PluginState.OK, summary=checked.summary, options=options_of(algorithm))
    return catalogue.adding(info, algorithm)


def _quarantined(name: str, source: str, error: BaseException) -> PluginInfo:
    """Blame precisely: the error in a line, then (unless it is our own) the traceback from the plugin on."""
    if isinstance(error, LearndError):
        return PluginInfo(name, source, PluginState.QUARANTINED, str(error))
    summary = traceback.format_exception_only(error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    ours = ("importlib", "pluggy", __file__, discovery.__file__)
    first = next((n for n, f in enumerate(frames) if not any(o in f.filename for o in ours)), len(frames))
    trace = "".join(traceback.format_list(frames[first:]))
    if isinstance(error, SyntaxError):  # it stands in no frame: what was read where, and what could not be
        summary = f"{type(error).__name__}: {error}"  # ends with (file, line)
        trace += "".join(traceback.format_exception_only(error)[:-1])
    return PluginInfo(name, source, PluginState.QUARANTINED, f"{summary}\n{trace}".strip())
