"""What every command takes: --config, and each key of config.yaml as an option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from learnd.errors import UsageError
from learnd.suggest import did_you_mean

if TYPE_CHECKING:
    from learnd.control.journal.journal import Journal
    from learnd.settings.keys import Settings

COMPLETE = "_LEARND_COMPLETE"  # the variable in which a shell asks for completions
FIRST = {  # the keys that learnd --help shows; `learnd config show` lists all
    "tasks": ("DIR", "The folder to watch."),
    "state": ("DIR", "The folder for what was learned."),
    "backbone": (
        "NAME",
        "The CNN that all tasks share: lite0-meta, lite0, conv4, timm:<model>, ... Add @<file> for other weights.",
    ),
    "devices": ("LIST", "Run the workers on these devices: auto, cpu, cuda:0 or [cuda:0, cuda:1]."),
}
EPILOG = "Every key of config.yaml is an option too, e.g. --watch-backend polling (learnd config show lists them)."


@dataclass(frozen=True)
class CommandLine:
    """What the command line says of the settings: the file to read, and values that come before it."""

    config: Path | None = None
    flags: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        """Raises SettingsError."""
        from learnd.settings.loading import load

        return load(self.config, self.flags)


pass_asked = click.make_pass_decorator(CommandLine, ensure=True)


class Command(click.Command):
    """A command of learnd: it takes the options of `learnd` itself, too, and any other key of config.yaml."""

    def __init__(self, name: str | None, **options: Any) -> None:
        super().__init__(name, epilog=EPILOG, **options)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_hidden_options()]


class Guessing(click.Group):
    """A group that says which of its commands was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises UsageError for a name that is none of its commands."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            otherwise = f"`{ctx.command_path} --help` lists them"
            raise UsageError(f"there is no command {name!r}", remedy=did_you_mean(name, known, otherwise))
        return super().resolve_command(ctx, args)


class CommandGroup(Command, Guessing):
    """A command with commands of its own."""


class Word(click.Choice[str]):
    """One of some words; for another it says which was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises UsageError for a word that is none of them."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            where = param.get_error_hint(ctx) if param is not None else None
            raise UsageError(
                f"there is no {value!r}", where=where, remedy=did_you_mean(str(value), self.choices)
            ) from None


def general_options() -> list[click.Parameter]:
    """The options of `learnd` itself."""
    config = click.Option(
        ["--config"],
        envvar="LEARND_CONFIG",
        metavar="FILE",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_remember_config,
        help="Read the settings from this file.  [default: config.yaml, if it exists]",
    )
    return [config, *(_option(key, metavar=metavar, help=help) for key, (metavar, help) in FIRST.items())]


@cache
def _hidden_options() -> tuple[click.Option, ...]:
    from learnd.settings.keys import Settings
    from learnd.settings.yaml_schema import SchemaNode

    keys = [".".join(trail) for trail, slot in SchemaNode(Settings).leaves().items() if slot.free is None]
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        expose_value=False,
        hidden=True,
        callback=_remember_config,
    )
    return (config, *(_option(key, hidden=True) for key in keys))


def _option(key: str, **looks: Any) -> click.Option:
    name = "--" + key.replace(".", "-").replace("_", "-")
    return click.Option([name], expose_value=False, callback=partial(_remember, key), **looks)


def _remember(key: str, ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        asked = ctx.find_object(CommandLine) or CommandLine()
        ctx.obj = replace(asked, flags={**asked.flags, key: value})


def _remember_config(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.obj = replace(ctx.find_object(CommandLine) or CommandLine(), config=value)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--json, as the argument as_json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(function)


def complete_task(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of tasks that begin like this."""
    names = _of_journal(ctx, lambda journal, _: [row.name for row in journal.tasks.all()])
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def complete_class(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What is known and begins like this: the tasks, and, of one that is written out, its classes as TASK/CLASS."""
    task, slash, _ = incomplete.partition("/")

    def names(journal: Journal, settings: Settings) -> list[str]:
        from learnd.control.knowledge.generations import Generations

        if not slash:
            return [f"{name}/" for _, _, name in journal.members()]
        generations = Generations(settings.state, journal)
        reports = [generations.report(one, revision) or {} for one, revision, name in journal.members() if name == task]
        return [f"{task}/{name}" for report in reports for name in report["classes"]]

    return [CompletionItem(name) for name in _of_journal(ctx, names) if name.startswith(incomplete)]


def _of_journal(ctx: click.Context, read: Callable[[Journal, Settings], list[str]]) -> list[str]:
    """A shell that waits for completions must not see an error: then there are none."""
    from learnd.errors import LearndError
    from learnd.ui.views.json_output import journal_if_any

    try:
        settings = (ctx.find_object(CommandLine) or CommandLine()).settings()
        with journal_if_any(settings) as journal:
            return read(journal, settings) if journal else []
    except LearndError:
        return []
