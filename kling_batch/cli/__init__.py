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
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kling_batch import __version__
from kling_batch.cli.output import log_format, say, show_error
from kling_batch.disk import disk_words
from kling_batch.errors import (
    DiskUnusable,
    ExitStatus,
    Interrupted,
    KlingBatchError,
    NotFinished,
    Terminated,
    UsageError,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "kling-batch"
ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals by which the system asks the program to end."""
COMMANDS = {
    "demo": "Make a night of fireworks with the sandbox, and open the page to listen.",
    "init": "Write a starter manifest, lines for git and a CI workflow.",
    "validate": "Check manifests and report every problem at its line.",
    "plan": "Show what a run would do to each take, why, and what it costs.",
    "run": "Do it; running it again resumes it.",
    "status": "Show where a run stands, also while it runs.",
    "report": "Write the reports again, from journal and lock.",
    "verify": "Hash and decode every file against the lock.",
    "clean": "Move sounds away that nothing asks for any more, by consent.",
    "restore": "Put every locked file back, from the store or the service, without paying.",
    "finish": "Finish sounds again as their recipes ask, without keys: one manifest or many.",
    "pick": "Choose a take of a job: it also appears under the job's plain name.",
    "reroll": "Ask for a fresh sound for a take alone, by consent.",
    "store": "Look after the store, where copies of finished sounds are kept.",
    "lock": "Merge what two branches made of a lock; bring it to the team's storage, and from there.",
    "unlock": "Remove the lease of a run that is gone, by consent.",
    "stats": "Sum up units, seconds, failures and loudness over many manifests.",
    "account": "Show the account's resource packs and what is left.",
    "tasks": "List the account's tasks.",
    "voices": "List the voices that there are, or delete one of your own.",
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
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing any command."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=words) for name, words in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Turn a manifest of prompts into verified sound files, and never pay twice for a sound.

    Try it without keys: kling-batch run MANIFEST --sandbox
    """
    from kling_batch.cli.log import LOG, begin

    try:
        Path.cwd()
    except OSError:
        gone = "Change to a folder that is there, then run again."
        raise UsageError("The working folder is gone.", hint=gone) from None
    begin()
    ctx.call_on_close(lambda: say(*([f"More is in the log: {LOG.path}"] if LOG.path else []), err=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Gives the exit status; every error is worded here."""
    with log_format(sys.argv[1:] if argv is None else argv):
        catch_signals()
        status = _status(argv)
        sys.stdout.flush()
        lost = getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "lost", None)
        if status == ExitStatus.DONE and lost is not None and not isinstance(lost, BrokenPipeError):
            hint = "What was to be done is done: mend it, and run the same command again."
            return _told(DiskUnusable(f"The output cannot be written: {lost.strerror}.", hint=hint))
        return status


def _status(argv: Sequence[str] | None) -> int:
    try:
        return int(cli.main(args=argv, prog_name=PROGRAM, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return int(ExitStatus.INVALID)
    except click.ClickException as error:
        show_error(_usage(error))
        return int(ExitStatus.INVALID)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _end_at_once_next()
        show_error(Interrupted("Interrupted.", hint="Run the same command again: it goes on where this one stopped."))
        return int(ExitStatus.INTERRUPTED)
    except Ended:
        show_error(Terminated("Terminated.", hint="Run the same command again: it resumes where this one stopped."))
        return int(ExitStatus.TERMINATED)
    except KlingBatchError as error:
        return _told(error)
    except Exception as error:  # noqa: BLE001 - the one handler that turns a bug into a line and a log file
        lacking = _lacking(error)
        return _internal(error) if lacking is None else _told(lacking)


def _told(error: KlingBatchError) -> int:
    from kling_batch.cli.github import tell_error

    show_error(error)
    tell_error(error)
    return int(error.exit_status)


class Ended(SystemExit):
    """The system asked the program to end. No other exception is sure to come out of an event loop."""


def catch_signals() -> None:
    """Have SIGTERM, and a hang-up of the terminal, end the program. A run's event loop does so in its own way.

    A hang-up that is ignored, as under `nohup`, stays ignored.
    """
    if threading.current_thread() is threading.main_thread():
        for number in ENDS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    del number, frame
    _end_at_once_next()
    raise Ended


def _end_at_once_next() -> None:
    """Have the next signal end the program wherever it is."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: os._exit(ExitStatus.INTERRUPTED))  # first: people hammer on Ctrl-C
        for number in ENDS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda *_: os._exit(ExitStatus.TERMINATED))


def _usage(error: click.ClickException) -> UsageError:
    """Word what click found wrong on the command line as any other error."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "kling-batch"
    return UsageError(error.format_message(), hint=f"{where} --help says what it takes.")


def _lacking(error: Exception) -> KlingBatchError | None:
    """Word what the machine would not give; None where that is not what went wrong."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError):
        what, hint = disk_words(error, option="--out")
        return DiskUnusable(f"{error.filename or 'The system'}: {what}.", hint=hint)
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        words = "The machine gives no more memory or threads."
        return NotFinished(words, hint="Raise the limit (ulimit -a shows it), then run the same command again.")
    return None


def _internal(error: Exception) -> int:
    """Keep the traceback in a file, and name the file."""
    from kling_batch.cli.log import LOG, LOGGER, begin

    begin()
    LOGGER.error("The program met a bug", exc_info=error)
    words = f"Internal error: {type(error).__name__}. This is a bug in kling-batch; nothing known is lost."
    kept = f"report it with {LOG.path}" if LOG.path else "report it: no log file could be written"
    show_error(KlingBatchError(words, hint=f"Run the same command again to resume, and {kept}."))
    return int(ExitStatus.INTERNAL)
