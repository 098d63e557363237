"""The hooks, of which a plugin implements at least one, and the marker `hookimpl` above them.  No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from learnd.domain import Event
    from learnd.learning.algorithm import Algorithm
    from learnd.learning.readers import Reader
    from learnd.learning.zoo import Builder

PROJECT = "learnd"  # pluggy's name for us, and the group of entry points

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def learnd_algorithms() -> list[type[Algorithm]]:
    """The algorithm classes (not instances) that this plugin brings."""
    raise NotImplementedError  # a specification: pluggy never calls it


@hookspec
def learnd_readers() -> dict[str, Reader]:
    """Readers of other files than images: extension -> function, e.g. ".wav": read(path) -> uint8 (3, H, W).

    An extension is lower-case, begins with its only dot, and is none of those in learnd.domain.EXTENSIONS.
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
