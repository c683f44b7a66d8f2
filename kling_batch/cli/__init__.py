"""The door: the only place that reads the environment, and the only one where errors become words.

One command, one file. A command's module is imported when the command is called, so that `--help` stays fast.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kling_batch import __version__
from kling_batch.cli.output import show_error
from kling_batch.errors import ExitStatus, Interrupted, KlingBatchError, Terminated, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "kling-batch"
COMMANDS = {
    "init": "Write a starter manifest, .gitignore lines and a CI workflow.",
    "validate": "Check manifests and report every problem at its line.",
    "plan": "Show what a run would do to each take, why, and what it costs.",
    "run": "Do it; running it again resumes it.",
    "status": "Show where a run stands, also while it runs.",
    "report": "Write the reports again, from journal and lock.",
    "verify": "Hash and decode every file against the lock.",
    "restore": "Put every locked file back, from the store or the service, without paying.",
    "pick": "Choose a take of a job: it also appears under the job's plain name.",
    "reroll": "Ask for a fresh sound for a take alone, by consent.",
    "store": "Look after the store, where copies of finished sounds are kept.",
    "stats": "Sum up units, seconds, failures and loudness over many manifests.",
    "account": "Show the account's resource packs and what is left.",
    "tasks": "List the account's tasks.",
    "doctor": "Check keys, clock, disk and the way to the service.",
    "sandbox": "Serve a stand-in for the service on this machine.",
    "schema": "Print one of the program's JSON schemas.",
    "completion": "Print what makes a shell complete commands, options and manifests.",
}


class _Commands(click.Group):
    """Finds a command's module by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of a first use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"kling_batch.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - every module of COMMANDS has one
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one was probably meant."""
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else f" Commands: {', '.join(COMMANDS)}."
        raise click.UsageError(f"There is no command {name!r}.{meant}", ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing any command."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=words) for name, words in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Turn a manifest of prompts into verified sound files, and never pay twice for a sound.

    Try it without keys: kling-batch run MANIFEST --sandbox
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Gives the exit status; every error is worded here."""
    catch_termination()
    try:
        result = cli.main(args=argv, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return int(result or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return int(ExitStatus.INVALID)
    except click.ClickException as error:
        show_error(_usage(error))
        return int(ExitStatus.INVALID)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        show_error(Interrupted("Interrupted.", hint="Run the same command again: it goes on where this one stopped."))
        return int(ExitStatus.INTERRUPTED)
    except KlingBatchError as error:
        show_error(error)
        from kling_batch.cli.github import tell_error

        tell_error(error)
        return int(error.exit_status)
    except BrokenPipeError:
        # Whoever read our output has gone: there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitStatus.DONE)
    except Exception as error:  # noqa: BLE001 - the one handler that turns a bug into a line and a log file
        return _internal(error)


def catch_termination() -> None:
    """Have SIGTERM end the program by itself, with its own exit status. A run's event loop does so in its own way."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: object) -> None:
    del number, frame
    raise Terminated("Terminated.", hint="Run the same command again: it resumes where this one stopped.")


def _usage(error: click.ClickException) -> UsageError:
    """Word what click found wrong on the command line as any other error."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "kling-batch"
    return UsageError(error.format_message(), hint=f"{where} --help says what it takes.")


def _internal(error: Exception) -> int:
    """Say that it is our bug, and where its traceback is kept."""
    import traceback

    log = keep_log("".join(traceback.format_exception(error)))
    words = f"Internal error: {type(error).__name__}. This is a bug in kling-batch; nothing known is lost."
    show_error(KlingBatchError(words, hint=f"Run the same command again to resume, and report it with {log}."))
    return int(ExitStatus.INTERNAL)


def keep_log(text: str) -> str:
    """Keep tracebacks in a file, without any key, and name the file."""
    import tempfile

    for name, value in os.environ.items():
        if name.startswith("KLING_") and name.endswith("_KEY") and value:
            text = text.replace(value, "[hidden]")
    with tempfile.NamedTemporaryFile("w", prefix="kling-batch-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(f"kling-batch {__version__}\n{text}")
    return log.name
