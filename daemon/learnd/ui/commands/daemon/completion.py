"""`learnd completion`: the completion script of a shell."""

from __future__ import annotations

import click

from learnd.ui.options import COMPLETE, Word


@click.command()
@click.argument("shell", type=Word(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.  It completes commands, options and task names.

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
