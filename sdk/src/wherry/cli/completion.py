"""`wherry completion SHELL`."""

from __future__ import annotations

import click


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes wherry's commands and options in SHELL.

    For bash:  wherry completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    from wherry.cli.main import COMPLETE, cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(click.shell_completion.ShellComplete.source(kind(cli, {}, "wherry", COMPLETE)))
