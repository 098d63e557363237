"""`learnd examples`: real task folders to try."""

from __future__ import annotations

from pathlib import Path

import click

from learnd.errors import UsageError
from learnd.ui.examples.bundled import EXAMPLES, write_example
from learnd.ui.options import json_option
from learnd.ui.views import console


@click.command()
@click.argument("name", required=False)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--held-out",
    metavar="DIR2",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write more images of the same classes to DIR2/NAME, to classify later.",
)
@click.option(
    "--root",
    metavar="DIR3",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep downloaded image collections here.  [default: ~/.cache/learnd]",
)
@json_option
def examples(name: str | None, folder: Path | None, held_out: Path | None, root: Path | None, as_json: bool) -> None:
    """List example tasks of real images, or write one to DIR/NAME.  Some are downloaded.

    \b
    Examples:
      learnd examples                     list them
      learnd examples photos tasks        a task that learns in seconds
      learnd examples photos tasks --held-out /tmp/new && learnd predict /tmp/new/photos
      learnd examples omniglot/Tibetan tasks --root ~/datasets
    """
    if name is None:
        _list_examples(as_json)
    elif folder is None:
        raise UsageError("the folder to write to is missing", remedy=f"for example: learnd examples {name} tasks")
    else:
        called = name.replace("/", "-")
        place, others = folder / called, held_out / called if held_out else None
        images = write_example(name, place, others, root)
        console.say(f"wrote {place}: {images} images" + (f"; others in {others}" if others else ""))
        if as_json:
            held = None if others is None else str(others)
            console.print_json({"example": name, "folder": str(place), "images": images, "held_out": held})


def _list_examples(as_json: bool) -> None:
    if as_json:
        listed = [{"name": name, "summary": summary} for name, summary in EXAMPLES.items()]
        console.print_json({"examples": listed})
        return
    for name, summary in EXAMPLES.items():
        click.echo(f"{name:<12} {summary}")
