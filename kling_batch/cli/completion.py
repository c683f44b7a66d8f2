"""`kling-batch completion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kling_batch.cli import PROGRAM, cli
from kling_batch.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_KLING_BATCH_COMPLETE"
"""Where the script puts its question: click answers it before any command runs."""


def _complete_shell(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    del ctx, param
    return [shell for shell in _SHELLS if shell.startswith(incomplete)]


@click.command()
@click.argument("shell", shell_complete=_complete_shell)
def command(shell: str) -> int:
    """Print what makes a shell complete commands, options and manifests: for bash, zsh or fish.

    Save it where your shell looks for completions: docs/commands.md says where that is.
    """
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    if shell not in _SHELLS or completer is None:
        raise UsageError(f"There is no completion for {shell!r}.", hint=f"There is one for: {', '.join(_SHELLS)}.")
    click.echo(completer(cli, {}, PROGRAM, _VARIABLE).source())
    return 0
