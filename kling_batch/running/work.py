"""A take on its way through a run: one small mutable record each, owned by the event loop's thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from kling_batch.identity import external_task_id
from kling_batch.model import NOTHING, FileRecord, Origin, Status, Take, TakeError, TakeResult, Task
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.lock import LockEntry
from kling_batch.running.endings import unknown


@dataclass(slots=True, eq=False)
class Work:
    """A take, the attempt it is at, and what came of it.

    `looked_for` tells that this run has looked for this attempt on the account, or made the one before itself.
    `posted` tells that this run made the call that the task came from; `task` is what the service last said;
    `earlier_units` were charged for attempts that failed; `in_flight_since` is when its task was made, on the monotonic
    clock. `known_files` are what the files have to be where they were made before, by format; `present` names the
    formats that are in place; `moved` is the lock's entry of the renamed job whose sound it takes over. An `orphan`
    is not asked for this time: it is only watched, since it holds a slot.
    """

    take: Take
    row: Attempt
    order: int = 0
    origin: Origin = Origin.GENERATED
    orphan: bool = False
    posted: bool = False
    resends: int = 0
    looked_for: bool = False
    earlier_units: Decimal = NOTHING
    in_flight_since: float = 0.0
    task: Task | None = None
    known_files: Mapping[str, FileRecord] = field(default_factory=dict)
    present: frozenset[str] = frozenset()
    moved: LockEntry | None = None
    files: tuple[FileRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    status: Status | None = None
    error: TakeError | None = None

    @property
    def external_id(self) -> str:
        """The name of the attempt it is at."""
        return self.row.external_id

    @property
    def units(self) -> Decimal:
        """What was charged for it, failed attempts and all."""
        return self.row.units + self.earlier_units if self.earlier_units else self.row.units

    def waits_for(self, name: str) -> bool:
        """Whether the POST of the attempt of this name is still open; a late answer may be to an earlier attempt."""
        return self.status is None and self.row.stage is Stage.INTENT and self.row.external_id == name

    def next_attempt(self, run_id: int) -> None:
        """Go on to a new attempt, under a new external id."""
        self.earlier_units += self.row.units
        self.row = first_row(self.take, run_id, attempt=self.row.attempt + 1)
        self.task = None
        self.looked_for = self.posted
        self.posted = False
        self.resends = 0

    def result(self) -> TakeResult:
        """Word what came of it. A take without a final status is pending, or unknown where it may be paid for."""
        row = self.row
        status = self.status or (Status.UNKNOWN if row.stage is Stage.INTENT else Status.PENDING)
        return TakeResult(
            take=self.take,
            status=status,
            origin=self.origin if status is Status.SUCCEEDED else None,
            external_id=row.external_id,
            task_id=row.task_id,
            attempts=row.attempt if row.stage is not Stage.WITHDRAWN else row.attempt - 1,
            units=self.units,
            reserved=row.units if row.stage in {Stage.INTENT, Stage.CREATED} else NOTHING,
            undelivered=row.units if row.stage is Stage.SUCCEEDED else NOTHING,
            files=self.files,
            warnings=self.warnings,
            error=self.error or (unknown(row, _UNSETTLED) if status is Status.UNKNOWN else None),
            submitted_at=row.sent_at,
            finished_at=row.ended_at,
        )


_UNSETTLED = "the answer to its submission was lost and the run stopped before it was settled"


def first_row(take: Take, run_id: int, *, attempt: int = 1) -> Attempt:
    """Make the row of an attempt that nothing was sent for yet."""
    return Attempt(
        external_id=external_task_id(take, attempt),
        kind=take.job.kind,
        job_id=take.job.id,
        take=take.number,
        attempt=attempt,
        stage=Stage.WITHDRAWN,
        units=NOTHING,
        run_id=run_id,
    )
