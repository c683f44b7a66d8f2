"""`kling-batch verify`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kling_batch.api.project import load
from kling_batch.cli.options import place_options, text_or_json
from kling_batch.errors import ExitStatus


@click.command()
@place_options
@click.option("--quick", is_flag=True, help="Only compare names and sizes: nothing is read.")
@text_or_json
def command(
    manifest: Path,
    project: str | None,
    out: Path | None,
    lock_path: Path | None,
    select: tuple[str, ...],
    sandbox: bool,
    quick: bool,
    output: str,
) -> int:
    """Hash and decode every file against the lock. Exit status 3 when one is missing, modified, broken or extra."""
    from kling_batch.engine.audit import audit
    from kling_batch.engine.picks import picks_of

    opened = load(manifest, project=project, out=out, lock=lock_path, sandbox=sandbox)
    takes = opened.takes(select)
    picks = picks_of(opened.manifest.takes, opened.lock)
    flaws = audit(takes, opened.lock, opened.out, picks=picks, extras=not select, quick=quick)
    if output == "json":
        shown = [{"finding": f.finding.value, "path": f.path, "take": f.take, "detail": f.detail} for f in flaws]
        click.echo(json.dumps({"verified": not flaws, "flaws": shown}, indent=2, ensure_ascii=False))
    else:
        for flaw in flaws:
            name = flaw.path or flaw.take
            click.echo(f"{flaw.finding.value}: {name}: {flaw.detail}")
    if flaws:
        click.echo(f"{len(flaws)} of what is asked for or found is not what is locked.", err=True)
        click.echo("  kling-batch run puts back what is missing or modified; kling-batch plan shows how.", err=True)
        return int(ExitStatus.DRIFT)
    checked = "by name and size" if quick else "by hash and by decoding"
    click.echo(f"{len(takes)} takes verified, {checked}.", err=True)
    return int(ExitStatus.DONE)
