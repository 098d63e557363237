"""The hooks, of which a plugin implements at least one, and the marker `hookimpl` above them.  No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from learnd.errors import PluginError

if TYPE_CHECKING:
    from learnd.learning.contract.algorithm import Algorithm
    from learnd.learning.networks.readers import Reader
    from learnd.learning.networks.zoo import Builder
    from learnd.messages.plugins import Event

PROJECT = "learnd"  # pluggy's name for us, and the group of entry points
CONTRACT = 1  # the version of the plugin contract; another one where a plugin of the old would no longer work
MADE_FOR = "__learnd_contract__"  # what a plugin may call the version that it is made for

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def learnd_algorithms() -> list[type[Algorithm]]:
    """The algorithm classes (not instances) that this plugin brings."""
    raise NotImplementedError  # a specification: pluggy never calls it


@hookspec
def learnd_readers() -> dict[str, Reader]:
    """Readers of other files than images: extension -> function, e.g. ".wav": read(path) -> uint8 (3, H, W).

    An extension is lower-case, begins with its only dot, and is none of those in learnd.messages.task.EXTENSIONS.
    """
    raise NotImplementedError  # a specification, as above


@hookspec
def learnd_event(event: Event) -> None:
    """Something happened.  Called in a process of its own, event by event, while the daemon runs."""
    raise NotImplementedError  # a specification, as above


@hookspec
def learnd_backbones() -> dict[str, Builder]:
    """Networks that `backbone: plugin:<name>` may choose: name -> function without arguments -> zoo.Network.

    A name is a lower-case identifier.  The network takes float32 (N, C, S, S), as its preprocessing says, and hands
    back features (N, D); its weights are in place.
    """
    raise NotImplementedError  # a specification, as above


def check_made_for(plugin: object, where: str) -> None:
    """Raises PluginError if a plugin says that it is made for another version of the contract than ours."""
    version = getattr(plugin, MADE_FOR, CONTRACT)
    if isinstance(version, bool) or not isinstance(version, int):
        what = f"its {MADE_FOR} is {version!r}, and no whole number"
        raise PluginError(what, where=where, remedy=f"write {MADE_FOR} = {CONTRACT}")
    if version != CONTRACT:
        what = f"it is made for version {version} of the plugin contract, and this learnd has version {CONTRACT}"
        remedy = f"bring it up to docs/plugins.md and write {MADE_FOR} = {CONTRACT}, or take the learnd it is made for"
        raise PluginError(what, where=where, remedy=remedy)
