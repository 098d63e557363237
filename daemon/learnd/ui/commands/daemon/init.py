"""`learnd init`: write a config.yaml and make the folders."""

from __future__ import annotations

from pathlib import Path

import click

from learnd.ui.views import console


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(folder: Path) -> None:
    """Write a config.yaml with every key, and create the folders it names.  Existing files stay as they are.

    \b
    Examples:
      learnd init                         in the current folder
      learnd init ~/learning              in another folder
    """
    from learnd.settings.loading import load
    from learnd.settings.template import template

    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    try:
        with open(config, "x", encoding="utf-8") as file:
            file.write(template())
        console.say(f"wrote {config}")
    except FileExistsError:
        console.say(f"{config} is there already: left as it is")
    settings = load(config, environ={})
    for place in (settings.tasks, settings.state):
        place.mkdir(parents=True, exist_ok=True)
    console.say(f"copy folders of labelled images into {settings.tasks}, and start: learnd run")
