"""`kling-batch completion`."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_KLING_BATCH_COMPLETE"
"""Where the script puts its question: click answers it before any command runs."""


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), metavar="SHELL")
def command(shell: str) -> int:
    """Print what makes a shell complete commands, options and manifests: for bash, zsh or fish.

    Save it where your shell looks for completions, or evaluate it at the shell's start: see docs/commands.md.
    """
    from click.shell_completion import get_completion_class

    from kling_batch.cli import PROGRAM, cli

    completer = get_completion_class(shell)
    assert completer is not None  # noqa: S101 - click has one for each of _SHELLS
    click.echo(completer(cli, {}, PROGRAM, _VARIABLE).source())
    return 0
