"""What was paid, by the lock, which knows what every sound cost, and the journal, which knows what failed as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from kling_batch.identity import external_task_id
from kling_batch.model import NOTHING, Job, Source, Take
from kling_batch.records.attempts import Attempt
from kling_batch.records.lock import Lock, LockEntry

_NOWHERE = Source(path="", line=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """Units that were charged or are reserved, for failed attempts and for sounds that were rolled again, too."""

    this_run: Decimal
    whole: Decimal


def spending(lock: Lock, attempts: Mapping[str, Attempt], *, since: float) -> Spending:
    """Sum up what was paid.

    Args:
        lock: The lock: what a take cost there counts its failed attempts in.
        attempts: The journal's attempts, by their external ids.
        since: When this run began, in Unix seconds. What was sent before is an earlier one's, whoever saw its end.
    """
    locked = list(lock.everything())
    names = {name for entry in locked for name in _names(entry, lock.project)}
    rows = [row for row in attempts.values() if row.counted]
    return Spending(
        this_run=sum((row.counted for row in rows if row.sent_at is not None and row.sent_at >= since), NOTHING),
        whole=sum((entry.units for entry in locked), NOTHING)
        + sum((row.counted for row in rows if row.external_id not in names), NOTHING),
    )


def _names(entry: LockEntry, project: str) -> Iterator[str]:
    """Name the attempt that a sound came from, and those before it, which failed."""
    yield entry.external_id
    if entry.attempt > 1:
        name = entry.moved_from or entry.job_id
        job = Job(project=project, id=name, kind=entry.kind, request=entry.request, formats=(), source=_NOWHERE)
        take = Take(job=job, number=entry.take, edition=entry.edition, stem="")
        yield from (external_task_id(take, number) for number in range(1, entry.attempt))
