"""`learnd plugins`: the algorithms that can be chosen from, and those that could not be loaded."""

from __future__ import annotations

from pathlib import Path

import click

from learnd.control.lock import holder_of
from learnd.domain import PluginInfo
from learnd.face import screen, snapshot
from learnd.face.options import Asked, Command, json_option, pass_asked
from learnd.scalars import closest
from learnd.settings import Settings
from learnd.wire import BackboneSpec, to_json


@click.command(cls=Command)
@click.argument("action", type=click.Choice(["list", "info"]), default="list")
@click.argument("name", required=False)
@json_option
@pass_asked
def plugins(asked: Asked, action: str, name: str | None, as_json: bool) -> None:
    """List the algorithms that tasks can be learnt with, or tell all about one: its options, or why it failed.

    \b
    Examples:
      learnd plugins
      learnd plugins info ridge
      learnd plugins --json | jq '.plugins[] | select(.state == "quarantined")'
    """
    if (action == "info") != (name is not None):
        raise click.UsageError("learnd plugins [list], or learnd plugins info NAME")
    found = _found(asked.settings())
    if name is not None:
        found = [_named(found, name)]
    listed = [to_json(plugin) for plugin in found]
    if as_json:
        screen.print_json({"plugins": listed} if name is None else {"plugin": listed[0]})
        return
    from learnd.face import report

    screen.show(*([report.plugins(listed)] if name is None else report.plugin(listed[0])))


def _found(settings: Settings) -> list[PluginInfo]:
    """As the workers of the daemon that runs have loaded them; without one, as a worker finds them now."""
    if (holder := holder_of(settings.state)) is not None:
        with snapshot.journal_if_any(settings) as journal:
            known = list(journal.plugins()) if journal else []
        if known and _changed_since(settings.plugins_dir, holder.since):
            screen.say(f"{settings.plugins_dir} has changed since the daemon started: start that again to load it")
        if known:
            return known
    from learnd.face.oneshot import one_shot

    with (
        screen.progress("loading every plugin in a worker of its own") as progress,
        one_shot(settings, BackboneSpec(settings.backbone), progress) as (_worker, hello),
    ):
        return list(hello.plugins)


def _changed_since(folder: Path, moment: float) -> bool:
    """Whether a plugin was added, removed or written later than that (Unix seconds)."""
    places = [folder, *folder.glob("*.py")] if folder.is_dir() else []
    return any(place.stat().st_mtime > moment for place in places)


def _named(found: list[PluginInfo], name: str) -> PluginInfo:
    for plugin in found:
        if plugin.name == name:
            return plugin
    guess = closest(name, [plugin.name for plugin in found])
    raise click.UsageError(
        f"there is no plugin {name!r}. " + (f"Did you mean {guess!r}?" if guess else "learnd plugins lists them.")
    )
