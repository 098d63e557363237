"""`learnd init`, `run`, `examples` and `completion`: from nothing to a daemon that learns."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from learnd.face import screen
from learnd.face.examples import EXAMPLES, write_example
from learnd.face.options import COMPLETE, Asked, Command, Word, json_option, pass_asked


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(folder: Path) -> None:
    """Write a config.yaml that says every key, and make the folders it names.  Nothing is ever overwritten.

    \b
    Examples:
      learnd init                         here
      learnd init ~/learning              there
    """
    from learnd.settings import load
    from learnd.template import template

    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    try:
        with open(config, "x", encoding="utf-8") as file:
            file.write(template())
        screen.say(f"wrote {config}")
    except FileExistsError:
        screen.say(f"{config} is there already: left as it is")
    settings = load(config, environ={})
    for place in (settings.tasks, settings.state):
        place.mkdir(parents=True, exist_ok=True)
    screen.say(f"copy folders of labelled images into {settings.tasks}, and start: learnd run")


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="Learn what is there, then end; exit code 1 if any task failed.")
@click.option("--no-dashboard", is_flag=True, help="Print plain lines, on a terminal, too.")
@pass_asked
def run(asked: Asked, once: bool, no_dashboard: bool) -> int:
    """Run the daemon: watch the folder, learn each task in it, and keep what was learnt.

    On a terminal it shows the dashboard of learnd top as long as it runs; elsewhere it prints a line for all it does.
    Stop it with Ctrl-C or SIGTERM: work in hand is taken up again at the next start.

    \b
    Examples:
      learnd run
      learnd run --once                   for scripts
      learnd run --backbone conv4 --state state-glyphs --tasks glyphs
    """
    from learnd.face.dashboard import app

    settings = asked.settings()
    if not no_dashboard and app.can_draw():
        from learnd.face.dashboard.host import host
        from learnd.face.dashboard.looks import only_ascii

        return host(settings, [*sys.argv[1:], "--no-dashboard"], ascii=only_ascii(sys.stdout))
    from learnd.control.service import Service

    return Service(settings, _line).run(once=once)


def _line(level: str, text: str) -> None:
    with suppress(OSError):  # a closed stderr: that nobody reads along is no reason to stop learning
        screen.say(f"{time.strftime('%H:%M:%S')} {level:<7} {text}")


@click.command()
@click.argument("name", required=False)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--held-out",
    metavar="DIR2",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write other images of the same classes to DIR2/NAME, to ask about.",
)
@click.option(
    "--root",
    metavar="DIR3",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where collections that torchvision fetches lie already, or are put.  [default: ~/.cache/learnd]",
)
@json_option
def examples(
    name: str | None, folder: Path | None, held_out: Path | None, root: Path | None, as_json: bool
) -> None:
    """List real task folders to try, or write one as DIR/NAME.  Those that are not fetched need no network.

    \b
    Examples:
      learnd examples                     which there are
      learnd examples photos tasks        a task that learns in seconds
      learnd examples photos tasks --held-out /tmp/new && learnd predict /tmp/new/photos
      learnd examples omniglot/Tibetan tasks --root ~/datasets
    """
    if name is None:
        _list_examples(as_json)
    elif folder is None:
        raise click.UsageError(f"Where to?  For instance: learnd examples {name} tasks")
    else:
        called = name.replace("/", "-")
        place, others = folder / called, held_out / called if held_out else None
        images = write_example(name, place, others, root)
        screen.say(f"wrote {place}: {images} images" + (f"; others in {others}" if others else ""))
        if as_json:
            held = None if others is None else str(others)
            screen.print_json({"example": name, "folder": str(place), "images": images, "held_out": held})


def _list_examples(as_json: bool) -> None:
    if as_json:
        listed = [{"name": name, "summary": summary} for name, summary in EXAMPLES.items()]
        screen.print_json({"examples": listed})
        return
    for name, summary in EXAMPLES.items():
        click.echo(f"{name:<12} {summary}")


@click.command()
@click.argument("shell", type=Word(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that teaches a shell to complete commands, options and the names of tasks.

    \b
    Examples:
      eval "$(learnd completion bash)"                                # in ~/.bashrc
      eval "$(learnd completion zsh)"                                 # in ~/.zshrc
      learnd completion fish > ~/.config/fish/completions/learnd.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None  # the argument allows only these
    click.echo(found(ctx.find_root().command, {}, "learnd", COMPLETE).source())
