"""`kling-batch store`: where the copies of finished sounds are, how many, and which of them go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from kling_batch.api.project import open_store
from kling_batch.cli.environment import own_store
from kling_batch.cli.options import Finite, text_or_json
from kling_batch.cli.output import print_json, say
from kling_batch.clock import SystemClock
from kling_batch.errors import LockInvalid, UsageError
from kling_batch.records.lock import read_lock
from kling_batch.records.store import StoreEntry, disused
from kling_batch.text import counted

_DAY_S = 86400.0

F = TypeVar("F", bound=Callable[..., Any])


def _where(function: F) -> F:
    """Add what says which store is meant."""
    store = click.option(
        "--store", metavar="DIR-OR-URL", help="The store: a folder, or s3://, gs://, az:// (default: the user's cache)."
    )
    sandbox = click.option("--sandbox", is_flag=True, help="The sandbox's entries, which are kept apart.")
    return store(sandbox(function))


@click.group()
def command() -> None:
    """Look after the store, where copies of finished sounds are kept for reuse."""


@command.command()
@_where
def path(store: str | None, sandbox: bool) -> int:
    """Print where the store is, in the words that `--store` takes."""
    opened = open_store(store or own_store(), sandbox=sandbox)
    say(opened.location)
    whose = "the sandbox" if sandbox else "real runs"
    say(f"What {whose} made is in {'sandbox' if sandbox else 'live'}/ there.", err=True)
    return 0


@command.command()
@_where
@text_or_json
def stats(store: str | None, sandbox: bool, output: str) -> int:
    """Count the entries and their bytes."""
    opened = open_store(store or own_store(), sandbox=sandbox)
    entries = list(opened.entries())
    if output == "json":
        print_json({"location": opened.location, "sandbox": sandbox, **_total(entries)})
    else:
        say(f"{opened.location}: {_words(entries)}")
    return 0


@command.command()
@_where
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="LOCK",
    help="Keep every sound that this lock names, retired or not. Give it once for every lock.",
)
@click.option("--all", "everything", is_flag=True, help="Keep nothing: in place of --keep.")
@click.option(
    "--older-than",
    "older_than_days",
    type=Finite(min=0),
    default=0.0,
    show_default=True,
    metavar="DAYS",
    help="Remove only what came to the store longer ago than this.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@text_or_json
def gc(
    store: str | None,
    sandbox: bool,
    keep: tuple[Path, ...],
    everything: bool,
    older_than_days: float,
    dry_run: bool,
    output: str,
) -> int:
    """Remove every sound that none of the given locks names.

    Nothing is removed when one of the locks cannot be read.
    """
    if everything == bool(keep):
        raise UsageError(
            "Say what to keep: --keep LOCK for every lock whose sounds you need, or --all to keep nothing.",
            hint="Look first: kling-batch store gc --keep tavern.yaml.lock --dry-run",
        )
    # What comes from now on is left alone: a run may be about to lock it.
    before = SystemClock().time() - older_than_days * _DAY_S
    named = _named_by(keep)
    opened = open_store(store or own_store(), sandbox=sandbox)
    entries = list(opened.entries())
    gone = sorted(disused(entries, named=named, before=before), key=lambda entry: entry.sha256)
    if not dry_run:
        opened.remove(entry.sha256 for entry in gone)
        opened.sweep(before - _DAY_S)
    _show(gone, kept=len(entries) - len(gone), dry_run=dry_run, output=output)
    return 0


def _named_by(locks: Sequence[Path]) -> frozenset[str]:
    """Collect the hashes that locks name, all of them or none.

    Raises:
        UsageError: One of the locks is missing or cannot be relied on.
    """
    try:
        read = [read_lock(path, project=None) for path in locks]
    except LockInvalid as error:
        raise UsageError(
            error.message,
            hint="Nothing was removed. Mend the lock first (kling-batch plan says how), or name the right file: "
            "it stands beside the manifest, as MANIFEST.lock.",
        ) from error
    return frozenset(file.sha256 for lock in read for entry in lock.everything() for file in entry.all_files)


def _show(gone: Sequence[StoreEntry], *, kept: int, dry_run: bool, output: str) -> None:
    if output == "json":
        removed = [{"sha256": entry.sha256, "bytes": entry.bytes} for entry in gone]
        print_json({"dry_run": dry_run, "kept": kept, **_total(gone), "removed": removed})
    else:
        for entry in gone:
            say(f"{entry.sha256}  {entry.bytes}")
    say(f"{_words(gone)} {'would be removed' if dry_run else 'removed'}, {kept} kept.", err=True)


def _total(entries: Sequence[StoreEntry]) -> dict[str, int]:
    return {"entries": len(entries), "bytes": sum(entry.bytes for entry in entries)}


def _words(entries: Sequence[StoreEntry]) -> str:
    return f"{counted(len(entries), 'entry')} ({_total(entries)['bytes'] / 1e6:.1f} MB)"
