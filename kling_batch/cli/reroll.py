"""`kling-batch reroll`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kling_batch.api.project import load
from kling_batch.cli.how import How, paying_options
from kling_batch.cli.keys import locked_takes, parse_key
from kling_batch.cli.options import lock_option, manifest_argument, out_option, project_option, sandbox_option
from kling_batch.cli.running import carry_out
from kling_batch.errors import UsageError
from kling_batch.model import TakeKey
from kling_batch.records.lock import Lock, LockEntry


@click.command()
@manifest_argument
@click.argument("takes", nargs=-1, required=True, metavar="JOB:TAKE...")
@project_option
@out_option
@lock_option
@sandbox_option
@paying_options
def command(
    manifest: Path,
    takes: tuple[str, ...],
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    sandbox: bool,
    **how: Any,
) -> int:
    """Ask for a fresh sound for these takes alone, such as door-creak:3, and pay for it by consent.

    The lock notes it for each take; the sound that was there is kept in .kling-batch/replaced. Where this is stopped
    before its end, kling-batch run finishes it.
    """
    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    keys = list(dict.fromkeys(parse_key(text, ":") for text in takes))
    locked_takes(opened, keys)
    expressions = tuple(str(key) for key in keys)
    return carry_out(opened, How(**how), expressions, change=lambda lock: rolled(lock, keys))


def rolled(lock: Lock, keys: Sequence[TakeKey]) -> Lock:
    """Note for each of these takes that one more fresh sound is asked for.

    Raises:
        UsageError: The lock has one of them no more.
    """
    for key in keys:
        if key not in lock.entries:
            raise UsageError(f"Take {key} is not in the lock any more.", hint="kling-batch plan says why.")
    latest = {key: lock.entries[key].edition for key in keys}
    for entry in lock.retired.values():
        if entry.key in latest:  # an edition that was made once would be no fresh sound
            latest[entry.key] = max(latest[entry.key], entry.edition)
    again = {key: _up_to(lock.entries[key], edition + 1) for key, edition in latest.items()}
    return replace(lock, entries={**lock.entries, **again})


def _up_to(entry: LockEntry, edition: int) -> LockEntry:
    return replace(entry, rerolls=entry.rerolls + edition - entry.edition)
