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
from kling_batch.model import TakeKey
from kling_batch.records.lock import Lock


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
    """Note for each of these takes that one more fresh sound is asked for."""
    again = {key: replace(lock.entries[key], rerolls=lock.entries[key].rerolls + 1) for key in keys}
    return replace(lock, entries={**lock.entries, **again})
