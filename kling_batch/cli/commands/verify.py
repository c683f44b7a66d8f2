"""`kling-batch verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from kling_batch.cli import github
from kling_batch.cli.options import project_options, select_option, store_option, text_or_json, workers_option
from kling_batch.cli.output import print_json, say
from kling_batch.errors import ExitStatus, UsageError
from kling_batch.model import Take
from kling_batch.planning.project import Project
from kling_batch.records.snapshot import read_snapshot
from kling_batch.text import counted

if TYPE_CHECKING:
    from kling_batch.planning.audit import Flaw
    from kling_batch.report.github import Note


@click.command()
@project_options
@select_option
@click.option("--quick", is_flag=True, help="Only compare names and sizes: nothing is read.")
@click.option("--deep", is_flag=True, help="Also fetch and decode the store's copies, as delivered and finished.")
@store_option
@workers_option
@text_or_json
def command(
    project: Project,
    select: tuple[str, ...],
    quick: bool,
    deep: bool,
    store: str | None,
    workers: str | None,
    output: str,
) -> int:
    """Hash and decode every file against the lock. Exit status 3 when one is missing, modified, broken or extra."""
    if workers is not None and not deep:
        raise UsageError(f"--workers {workers}: there is nothing to do for them.", hint="Add --deep.")
    from kling_batch.planning.audit import audit
    from kling_batch.planning.picks import picks_of

    project.check_folder(None, read_snapshot(project.out).manifest)
    takes = project.takes(select)
    picks = picks_of(project.manifest.takes, project.lock)
    flaws = audit(takes, project.lock, project.out, picks=picks, extras=not select, quick=quick)
    if deep:
        flaws += _stored(project, takes, store, workers)
    if output == "json":
        shown = [{"finding": f.finding.value, "path": f.path, "take": f.take, "detail": f.detail} for f in flaws]
        print_json({"verified": not flaws, "flaws": shown})
    else:
        for flaw in flaws:
            name = flaw.path or flaw.take
            say(f"{flaw.finding.value}: {name}: {flaw.detail}")
    status = ExitStatus.DRIFT if flaws else ExitStatus.DONE
    github.tell_notes(_notes(flaws, takes), int(status), err=output == "json")
    if flaws:
        say(f"{len(flaws)} of what is asked for or found is not what is locked.", err=True)
        say("  kling-batch run puts back what is missing or damaged, and keeps what was edited.", err=True)
        return int(status)
    checked = "by name and size" if quick else "by hash and by decoding"
    checked += ", in the store as well" if deep else ""
    say(f"{counted(len(takes), 'take')} verified, {checked}.", err=True)
    return int(status)


def _stored(project: Project, takes: Sequence[Take], location: str | None, workers: str | None) -> Sequence[Flaw]:
    """Find what is wrong with the store's copies."""
    import asyncio

    from kling_batch.api.project import open_store
    from kling_batch.api.session import crew_of, place_of
    from kling_batch.cli.environment import own_store
    from kling_batch.running.inspecting import stored_flaws

    store = open_store(location or own_store(), sandbox=project.sandbox)
    place = place_of(store, sandbox=project.sandbox)
    opened = crew_of(workers, store, sandbox=project.sandbox)

    async def look() -> list[Flaw]:
        async with nullcontext() if opened is None else opened(lambda words: say(words, err=True)) as crew:
            return await stored_flaws(takes, project.lock, place, crew)

    return asyncio.run(look())


def _notes(flaws: Sequence[Flaw], takes: Sequence[Take]) -> Iterator[Note]:
    from kling_batch.report.github import Note

    sources = {str(take.key): take.job.source for take in takes}
    for flaw in flaws:
        name = flaw.path or flaw.take
        source = sources.get(flaw.take or "")
        yield Note(level="error", message=flaw.detail, title=f"{flaw.finding.value}: {name}", source=source)
