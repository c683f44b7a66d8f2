"""`kling-batch completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kling_batch.cli import PROGRAM, cli
from kling_batch.cli.output import print_own

_VARIABLE = "_KLING_BATCH_COMPLETE"
"""Where the script puts its question: click answers it before any command runs."""


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print what makes a shell complete commands, options and files: for bash, zsh or fish.

    Save it where your shell looks for completions: docs/commands.md says where that is.
    """
    completer = get_completion_class(shell)
    assert completer is not None  # noqa: S101 - click has one for each of the choices
    print_own(completer(cli, {}, PROGRAM, _VARIABLE).source())
    return 0
