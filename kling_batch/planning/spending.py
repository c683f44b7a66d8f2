"""What was paid, by the lock, which knows what every sound cost, and the journal, which knows what failed as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from kling_batch.identity import external_task_id
from kling_batch.model import NOTHING, Job, Source, Take
from kling_batch.records.attempts import Attempt
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.snapshot import Snapshot

_NOWHERE = Source(path="", line=1)


@dataclass(slots=True, kw_only=True)
class Budget:
    """What may be spent, and what is: units that were charged or are reserved.

    Those for failed attempts, and for sounds that were rolled again, count as well.

    `run` is what this run may add, `whole` what the whole set may cost; None is no cap. A run adds what was sent since
    it began, or since a run began that was stopped and that it goes on with: `since`, in Unix seconds.
    """

    run: Decimal | None = None
    whole: Decimal | None = None
    since: float = 0.0
    spent: Decimal = NOTHING
    spent_whole: Decimal = NOTHING

    @property
    def run_left(self) -> Decimal | None:
        """What this run may still add; None where there is no cap."""
        return None if self.run is None else max(NOTHING, self.run - self.spent)

    @property
    def whole_left(self) -> Decimal | None:
        """What the set may still cost; None where there is no cap."""
        return None if self.whole is None else max(NOTHING, self.whole - self.spent_whole)

    @property
    def left(self) -> Decimal | None:
        """The lesser of what is left; None where nothing is capped."""
        return min((left for left in (self.run_left, self.whole_left) if left is not None), default=None)

    def affords(self, units: Decimal) -> bool:
        """Whether it allows to spend `units` more."""
        return self.left is None or units <= self.left

    def recount(self, before: Attempt, after: Attempt) -> None:
        """Count an attempt as it stands now, and no more as it stood before."""
        self.spent_whole += after.counted - before.counted
        for row, sign in ((after, 1), (before, -1)):
            if row.sent_since(self.since):
                self.spent += sign * row.counted


def budget(
    lock: Lock, snapshot: Snapshot, *, since: float, run: Decimal | None = None, whole: Decimal | None = None
) -> Budget:
    """Sum up what was paid, and say what is left of what may be spent.

    Args:
        lock: The lock: what a take cost there counts its failed attempts in.
        snapshot: The journal.
        since: When this run began, or one that it goes on with, in Unix seconds. What was sent before is an earlier
            one's, whoever saw its end.
        run: What it may add, in units.
        whole: What the set may cost, in units.
    """
    locked = list(lock.everything())
    names = {name for entry in locked for name in _names(entry, lock.project)}
    rows = [row for row in snapshot.attempts.values() if row.counted]
    spent_whole = sum((entry.units for entry in locked), NOTHING)
    spent_whole += sum((row.counted for row in rows if row.external_id not in names), NOTHING)
    spent = sum((row.counted for row in rows if row.sent_since(since)), NOTHING)
    return Budget(run=run, whole=whole, since=since, spent=spent, spent_whole=spent_whole)


def _names(entry: LockEntry, project: str) -> Iterator[str]:
    """Name the attempt that a sound came from, and those before it, which failed."""
    yield entry.external_id
    if entry.attempt > 1:
        name = entry.moved_from or entry.job_id
        job = Job(project=project, id=name, kind=entry.kind, request=entry.request, formats=(), source=_NOWHERE)
        take = Take(job=job, number=entry.take, edition=entry.edition, stem="")
        yield from (external_task_id(take, number) for number in range(1, entry.attempt))
