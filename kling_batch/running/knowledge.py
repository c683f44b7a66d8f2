"""What is known of the account before a run: from the state folder, the journal and the lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from heapq import nlargest

from kling_batch.catalog import kind
from kling_batch.identity import external_task_id
from kling_batch.model import NOTHING, Take
from kling_batch.records.account import Control, Knowledge, Mark
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.lock import LockEntry
from kling_batch.running.account import Account
from kling_batch.running.ports import Ports
from kling_batch.running.reading import Reader

_MOST_CONTROLS = 3
"""Known tasks that are asked for until the account is heard: the service forgets what is older than 30 days."""


def is_proven(ports: Ports, mark: Mark | None, settle_time_s: float) -> bool:
    """Whether this journal is known to be the one that sent last, of all machines.

    On this machine, a token beside the account says so. Another machine's run waits the settle time before it sends
    what its journal has not: so none has sent since, if this journal's last intent is younger than that.
    """
    if mark is None or mark.token != ports.journal.token():
        return False
    return 0 <= ports.clock.time() - mark.at < settle_time_s


def unanswered_rows(take: Take, calls: Mapping[str, float], *, units: Decimal, retries: int) -> dict[str, Attempt]:
    """Make the journal's rows of a take of which only the state folder knows that it was sent: see `AccountMemory`.

    What takes no name of ours is never sent again unasked. `units` is what one may have cost.
    """
    numbers = range(1, retries + 2)
    last = max((number for number in numbers if external_task_id(take, number) in calls), default=0)
    rows = [
        Attempt(
            external_id=external_task_id(take, number),
            kind=take.job.kind,
            job_id=take.job.id,
            take=take.number,
            attempt=number,
            stage=Stage.INTENT if number == last else Stage.FAILED,
            units=units if number == last else NOTHING,
            run_id=1,
            sent_at=calls.get(external_task_id(take, number)),
        )
        for number in range(1, last + 1)
    ]
    return {row.external_id: row for row in rows}


def known_of(knowledge: Knowledge, rows: Iterable[Attempt]) -> Knowledge:
    """Add to what is known of the account what the journal says of times."""
    took = (*durations_of(row for row in rows if row.run_id), knowledge.longest_s)
    return replace(knowledge, longest_s=max((each for each in took if each is not None), default=None))


def durations_of(rows: Iterable[Attempt]) -> list[float]:
    """Give the generation times that were seen, in seconds, the latest last."""
    done = [row for row in rows if row.stage in {Stage.SUCCEEDED, Stage.DELIVERED} and row.generation_s is not None]
    return [row.generation_s for row in sorted(done, key=lambda row: row.ended_at or 0.0) if row.generation_s]


async def made_all(reader: Reader, rows: Iterable[Attempt]) -> bool:
    """Whether the account that is asked shows one of these attempts' tasks, so that it has made them.

    The same name is no proof: another account may have made a task of the same take. So its number has to be shown.
    What a synchronous call made is shown by none.
    """
    own = [row for row in rows if row.is_own and row.task_id and not kind(row.kind).synchronous]
    for name in dict.fromkeys(row.kind for row in own):
        account = Account(reader, kind(name))
        controls = controls_of([row for row in own if row.kind == name])
        if await account.shows_any(controls, {row.task_id for row in own}):
            return True
    return False


def controls_of(rows: Iterable[Attempt], entries: Iterable[LockEntry] = ()) -> list[Control]:
    """Name tasks that are known to exist, the latest first: the account is heard by them."""
    found = [Control(external_id=row.external_id, task_id=row.task_id) for row in rows if row.task_id]
    found += [Control(external_id=entry.external_id, task_id=entry.task_id) for entry in entries]
    return nlargest(_MOST_CONTROLS, found, key=lambda control: (len(control.task_id), control.task_id))
