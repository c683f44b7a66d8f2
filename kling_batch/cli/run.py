"""`kling-batch run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kling_batch.api.project import load
from kling_batch.cli.how import How, paying_options
from kling_batch.cli.options import place_options
from kling_batch.errors import UsageError


@click.command()
@place_options
@click.option("--locked", is_flag=True, help="End with exit status 3, before anything, if a call must be paid.")
@click.option("--frozen", is_flag=True, help="Use lock, disk and store alone: no keys, no network, the lock unchanged.")
@paying_options
def command(
    manifest: Path,
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    select: tuple[str, ...],
    sandbox: bool,
    locked: bool,
    frozen: bool,
    **how: Any,
) -> int:
    """Turn the manifest into sounds. Running it again resumes it and pays for nothing twice.

    It shows the plan and asks before it spends; without a terminal it needs --yes or --max-units.
    """
    if locked and frozen:
        raise UsageError("--locked and --frozen exclude each other.", hint="--frozen is the stricter one: keep that.")
    from kling_batch.cli.running import carry_out

    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    return carry_out(opened, How(**how), select, locked=locked, frozen=frozen)
