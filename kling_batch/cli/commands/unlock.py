"""`kling-batch unlock`."""

from __future__ import annotations

from pathlib import Path

import click

from kling_batch.api.session import team_of
from kling_batch.cli.environment import own_access
from kling_batch.cli.options import project_options, store_options
from kling_batch.cli.output import can_ask, confirm, say
from kling_batch.errors import NotFinished
from kling_batch.planning.project import Project


@click.command()
@project_options
@store_options
@click.option("--yes", "consented", is_flag=True, help="Remove it without asking.")
def command(project: Project, store: str | Path | None, consented: bool) -> int:
    """Say which run holds the lease of a set in object storage, and remove it, by consent.

    Only where that run is gone and nobody wants to wait: run --wait takes over from it as well. One that still works
    stops before it pays for anything more.
    """
    lease = team_of(store, project).lease_of(own_access().fingerprint)
    holder = lease.look()
    if holder.ended:
        say("No run holds the lease.", err=True)
        return 0
    say(f"Held by {holder}.")
    if not consented:
        if not can_ask():
            raise NotFinished("The lease was not removed.", hint="Add --yes where that run is known to be gone.")
        if not confirm("Is that run gone, and shall its lease be removed?"):
            say("It was not removed.", err=True)
            return 0
    say(f"Removing it takes {holder.life_s:.0f} s, for that run to notice if it still works.", err=True)
    lease.seize(holder)
    say("Removed.", err=True)
    return 0
