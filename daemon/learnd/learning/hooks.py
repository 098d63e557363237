"""The hooks that a plugin may implement, and the marker `hookimpl` that it puts above them.  No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from learnd.learning.algorithm import Algorithm

PROJECT = "learnd"  # pluggy's name for us, and the group of entry points

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def learnd_algorithms() -> list[type[Algorithm]]:
    """The algorithm classes (not instances) that this plugin brings."""
    raise NotImplementedError  # a specification: pluggy never calls it
