"""The options of a run, from the command line or a program, and what is allowed of each."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

RETRIES = (0, 20)
REROLLS = (0, 20)
BOUNDS: dict[str, tuple[float, float | None]] = {
    "concurrency": (1, 1000),
    "retries": RETRIES,
    "reroll_rejected": REROLLS,
    "poll_interval_s": (0.05, 3600.0),
    "settle_time_s": (0.0, 3600.0),
    "wait_s": (0.0, None),
    "deadline_s": (0.1, None),
    "patience_s": (1.0, None),
}
"""What a person may ask of a run, as least and most; None is no bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to run: one value, from the command line or a program to the engine. Times are seconds; None is no limit.

    Args:
        select: Which takes are meant, as `--select` says it: expressions, of which one is enough. Empty means
            all.
        consented: Agrees to whatever the plan costs, and to taking over the sounds of renamed jobs.
        max_units: Agrees to add so much at most, what a run has added included that was stopped, and that it goes on
            with.
        max_total_units: Lets the whole set cost so much at most, by lock and journal. Agrees to nothing.
        concurrency: Most tasks in flight; None is the manifest's, `auto` finds out what the account allows.
        retries: New attempts for a task that failed for a passing reason.
        locked: Ends with `Drift`, before anything, where a call would have to be paid.
        frozen: Uses lock, disk and store alone: the service is asked nothing, and the lock is left as it is.
        restore_edited: Puts the original back where a person edited a file; the edit is kept aside.
        keep_sources: Also has finished sounds stand under `sources/`, as they were delivered.
        reroll_rejected: How many rejected sounds of a take another is made in place of, each at a price.
        hold_unclear: Leaves unknown what may be paid for, and never sends it again.
        rebind: Takes over a folder that belongs to another account, or to one that cannot be recognised any more.
        uploads: Where files are put that the service shall read: the URL of object storage. None has nowhere.
        voice_rights: Who has the rights in the voices that are cloned, and agrees. Without it none is cloned.
        callback_url: Where the service shall tell of tasks: an address that leads to `listen`. Never part of what is
            asked for.
        listen: Where that is heard, as `HOST:PORT`.
        unproven: Goes on where it cannot be known what another machine has sent.
        poll_interval_s: Least time between two polls.
        settle_time_s: For how long a task may stay invisible after its answer was lost, before it is sent again.
        wait_s: Waits so long for another run of the set to end, where a lease in the team's storage keeps it out.
        deadline_s: Stops after this time.
        patience_s: Stops when nothing moved for this time; None is 15 minutes, or 30 s before the service has answered.
        out: The output folder, of the project.
        lock_path: The lock, of the project.
        workers: Who does what is heavy elsewhere: a number of processes, or the address of a Dask scheduler. None: it
            is done here.
        empty_account: The service came to life with this run and holds nothing yet, as a sandbox in the process.
    """

    select: tuple[str, ...] = ()
    consented: bool = False
    max_units: Decimal | None = None
    max_total_units: Decimal | None = None
    concurrency: int | Literal["auto"] | None = None
    retries: int = 2
    locked: bool = False
    frozen: bool = False
    restore_edited: bool = False
    keep_sources: bool = False
    reroll_rejected: int = 0
    hold_unclear: bool = False
    rebind: bool = False
    uploads: str | None = None
    voice_rights: str | None = None
    callback_url: str | None = None
    listen: str | None = None
    unproven: bool = False
    poll_interval_s: float = 1.0
    settle_time_s: float = 20.0
    wait_s: float = 0.0
    deadline_s: float | None = None
    patience_s: float | None = None
    workers: str | None = None
    out: Path = Path()
    lock_path: Path = Path()
    empty_account: bool = False

    @property
    def cap(self) -> int | None:
        """Most tasks in flight; None where that is to be found out."""
        return self.concurrency if isinstance(self.concurrency, int) else None
