"""`learnd plugins`: the algorithms that can be chosen from, is one true to the contract, and one to begin with."""

from __future__ import annotations

import keyword
import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from learnd.control.files.lock import holder_of
from learnd.control.journal.leaderboard import Standing
from learnd.errors import LearndError, UsageError
from learnd.messages.convert import to_json
from learnd.messages.jobs import BackboneSpec
from learnd.messages.plugins import CheckResult, PluginInfo, PluginState
from learnd.plugin_files import TEST, fingerprint, is_plugin
from learnd.settings.keys import Settings
from learnd.suggest import did_you_mean
from learnd.ui.options import Command, CommandGroup, CommandLine, json_option, pass_asked
from learnd.ui.views import console, json_output

if TYPE_CHECKING:
    from learnd.ui.conformance_kit import Kit, KitReady

CHECK_SECONDS = 120.0


@click.group(cls=CommandGroup, invoke_without_command=True)
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> int:
    """List the algorithms; show, check or create one.

    \b
    Examples:
      learnd plugins
      learnd plugins info ridge           its options, or why it cannot be used
      learnd plugins new mine             write a working plugin to start from
      learnd plugins check plugins/mine.py
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins, as_json=as_json)
    elif as_json:
        raise UsageError(
            "--json stands in the wrong place", remedy=f"write: learnd plugins {ctx.invoked_subcommand} --json"
        )
    return 0


@plugins.command("list", cls=Command)
@json_option
@pass_asked
def list_plugins(asked: CommandLine, as_json: bool) -> None:
    """List the algorithms: which are in use, how well they did so far, and which could not be loaded.

    The columns count known tasks: how many an algorithm bid on, was measured on and won; its mean rank among the
    measured (1 is best); and the seconds of a measurement.

    \b
    Examples:
      learnd plugins list
      learnd plugins list --json | jq '.plugins[] | select(.state == "quarantined")'
    """
    settings = asked.settings()
    with json_output.journal_if_any(settings) as journal:
        standings = journal.history.leaderboard.standings() if journal else {}
    listed = [{**to_json(plugin), **_standing(standings.get(plugin.name))} for plugin in _found(settings)]
    if as_json:
        console.print_json({"plugins": listed})
        return
    from learnd.ui.views import text_output

    console.show(text_output.plugins(listed))


def _standing(found: Standing | None) -> dict[str, Any]:
    """How an algorithm did so far; nothing if no task is known."""
    values = vars(found) if found else {"bids": 0, "measured": 0, "wins": 0, "rank": None, "seconds": None}
    return {name: value for name, value in values.items() if name != "algorithm"}


@plugins.command("info", cls=Command)
@click.argument("name")
@json_option
@pass_asked
def info(asked: CommandLine, name: str, as_json: bool) -> None:
    """Show one algorithm: its options, or why it could not be loaded.

    \b
    Examples:
      learnd plugins info ridge
    """
    plugin = to_json(_named(_found(asked.settings()), name))
    if as_json:
        console.print_json({"plugin": plugin})
        return
    from learnd.ui.views import text_output

    console.show(*text_output.plugin(plugin))


@plugins.command("check", cls=Command)
@click.argument("target", metavar="FILE|NAME")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=CHECK_SECONDS,
    show_default=True,
    help="Stop a check that takes longer.",
)
@json_option
@pass_asked
def check(asked: CommandLine, target: str, seconds: float, as_json: bool) -> int:
    """Check a plugin against the contract in docs/plugins.md.

    The checks run in a separate process, on a small network and drawn images.  Exit code 1 if one fails.

    \b
    Examples:
      learnd plugins check plugins/mine.py
      learnd plugins check ridge --json | jq '.checks[] | select(.outcome == "failed")'
    """
    from learnd.ui.conformance_kit import conformance

    settings, place = asked.settings(), _target(target)
    with conformance(place, settings, seconds) as kit:
        with console.progress(f"loading {target}"):
            hello = kit.hello()
        if not hello.plugins:
            raise _unknown(target, hello.known)
        verdicts = _check_all(kit, hello, quiet=as_json)
    passed = all(plugin.state is PluginState.OK for plugin in hello.plugins) and all(
        v.outcome != "failed" for v in verdicts
    )
    if as_json:
        found = {"plugins": [to_json(plugin) for plugin in hello.plugins], "checks": [to_json(v) for v in verdicts]}
        console.print_json({"target": target, "passed": passed, **found})
    else:
        _conclude(hello, verdicts)
    return 0 if passed else 1


@plugins.command("new", cls=Command)
@click.argument("name")
@click.option("--meta", is_flag=True, help="Write an algorithm with an outer loop, to be meta-trained.")
@pass_asked
def new(asked: CommandLine, name: str, meta: bool) -> None:
    """Write a working plugin and its test into the plugins folder, to start from.

    Existing files stay as they are.

    \b
    Examples:
      learnd plugins new mine             then: pytest plugins/test_mine.py
      learnd plugins new mine --meta
    """
    word = name.isidentifier() and name.islower() and name.isascii() and not keyword.iskeyword(name)
    if not word or not is_plugin(f"{name}.py"):
        raise UsageError(
            f"{name!r} cannot be the name of a plugin", remedy="choose a lower-case word such as nearest_mean"
        )
    class_name = "".join(part.capitalize() for part in name.split("_"))
    folder = asked.settings().plugins_dir
    file, test = folder / f"{name}.py", folder / f"{TEST}{name}.py"
    starters = {file: "metalearner.txt" if meta else "algorithm.txt", test: "test.txt"}
    for path in starters:
        if os.path.lexists(path):
            raise LearndError("it is there already", where=str(path), remedy="choose another name, or edit it")
    folder.mkdir(parents=True, exist_ok=True)
    for path, starter in starters.items():
        text = (resources.files("learnd") / "starters" / starter).read_text(encoding="utf-8")
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(text.replace("NewAlgorithm", class_name).replace("new_algorithm", name))
    console.say(f"wrote {file}: edit it, then: learnd plugins check {file}")
    console.say(f"wrote {test}: its test, for: pytest {test}")


def _target(target: str) -> str:
    """The absolute path of a file, or a name as it is.  Raises UsageError if there is no such file."""
    path = Path(target)
    if path.suffix != ".py" and path.name == target:
        return target
    if not path.is_file():
        raise UsageError(f"there is no file {target}", remedy="check the path")
    if not is_plugin(path.name):
        named = f"the name of one ends with .py, begins with no . or _ or {TEST}, and is not conftest.py"
        raise UsageError(f"{target} is not a plugin: {named}")
    return str(path.absolute())


def _check_all(kit: Kit, hello: KitReady, quiet: bool) -> list[CheckResult]:
    """Make every check; each is reported as soon as it is made."""
    verdicts = []
    with console.progress(f"{len(hello.checks)} checks") as progress:
        for verdict in kit.verdicts(hello.checks):
            verdicts.append(verdict)
            progress(f"{verdict.algorithm}: {verdict.check}", len(verdicts), len(hello.checks))
            if not quiet:
                console.show(*_told(verdict))
    return verdicts


def _told(verdict: CheckResult) -> list[Any]:
    from rich.text import Text

    from learnd.identity import printable

    head = Text.assemble(console.coloured(f"{verdict.outcome:<7}"), f" {verdict.algorithm} {verdict.check}")
    if verdict.outcome != "failed":
        return [head]
    seen, remedy = printable(verdict.seen), printable(verdict.remedy)
    return [head, f"    {verdict.promise}", f"    seen: {seen}", f"    -> {remedy}"]


def _conclude(hello: KitReady, verdicts: list[CheckResult]) -> None:
    from learnd.ui.views import text_output
    from learnd.ui.views.formatting import counted

    for plugin in hello.plugins:
        if plugin.state is not PluginState.OK:
            console.show(*text_output.plugin(to_json(plugin)))
    failed = sum(verdict.outcome == "failed" for verdict in verdicts)
    kept = "it keeps every promise" if verdicts else "there is no algorithm to check"
    console.show(f"{counted(failed, 'check')} of {len(verdicts)} failed" if failed else kept)


def _found(settings: Settings) -> list[PluginInfo]:
    """As the workers of the daemon that runs have loaded them; without one, as a worker finds them now."""
    if holder_of(settings.state) is not None:
        with json_output.journal_if_any(settings) as journal:
            known = list(journal.plugins()) if journal else []
            loaded = journal.plugin_files() if journal else None
        if known and loaded != fingerprint(settings.plugins_dir):
            console.say(f"{settings.plugins_dir} has just changed: a worker loads it as soon as one has nothing to do")
        if known:
            return known
    from learnd.ui.one_shot_worker import one_shot

    with (
        console.progress("loading every plugin in a worker of its own") as progress,
        one_shot(settings, BackboneSpec(settings.backbone), progress) as (_worker, hello),
    ):
        return list(hello.plugins)


def _named(found: list[PluginInfo], name: str) -> PluginInfo:
    for plugin in found:
        if plugin.name == name:
            return plugin
    raise _unknown(name, [plugin.name for plugin in found])


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"there is no plugin {name!r}", remedy=did_you_mean(name, known, "`learnd plugins` lists them"))
