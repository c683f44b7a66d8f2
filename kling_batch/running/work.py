"""A take on its way through a run: one small mutable record each, owned by the event loop's thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from kling_batch.delivery.place import rejected_path
from kling_batch.identity import external_task_id
from kling_batch.model import (
    NOTHING,
    FileRecord,
    Job,
    Origin,
    Source,
    Status,
    Take,
    TakeError,
    TakeResult,
    Task,
    is_unfinished,
    rejecting,
)
from kling_batch.planning.plan import Action, Step
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.records.lock import LockEntry
from kling_batch.records.state import TakeState
from kling_batch.running.decide import withdrawn
from kling_batch.running.endings import rejection, unknown


@dataclass(slots=True, eq=False)
class Work:
    """A take, the attempt it is at, and what came of it.

    `looked_for` tells that this run has looked for this attempt on the account, or made the one before itself.
    `posted` tells that this run made the call that the task came from; `task` is what the service last said;
    `earlier_units` were charged for attempts that failed; `in_flight_since` is when its task was made, on the monotonic
    clock. `facts` are what was known of it when the run was planned. `files` are what came of it, and `sources` the
    same as it was delivered. `rolls` is how often another sound may be made in place of a rejected one. An `orphan` is
    not asked for this time: it is only watched, since it holds a slot. `worker` is who fetched or finished it
    elsewhere. `unsettled` says why it is not known whether its call made a task.
    """

    facts: TakeState
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
    rolls: int = 0
    files: tuple[FileRecord, ...] = ()
    sources: tuple[FileRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    status: Status | None = None
    error: TakeError | None = None
    worker: str | None = None
    unsettled: str = "the answer to its submission was lost and the run stopped before it was settled"

    @property
    def take(self) -> Take:
        """What is asked for."""
        return self.facts.take

    @property
    def external_id(self) -> str:
        """The name of the attempt it is at."""
        return self.row.external_id

    @property
    def name_in_flight(self) -> str:
        """What its slot is held for: its task, or its attempt where no task is known."""
        return self.row.task_id or self.row.external_id

    @property
    def units(self) -> Decimal:
        """What was charged for it, failed attempts and all."""
        return self.row.units + self.earlier_units if self.earlier_units else self.row.units

    @property
    def reason(self) -> TakeError | None:
        """Why it has no sound; while it is unclear whether a task was made, with what is reserved for it by now."""
        return self.error or (unknown(self.row, self.unsettled) if self.row.stage is Stage.INTENT else None)

    @property
    def all_files(self) -> tuple[FileRecord, ...]:
        """The files as they were delivered, and those that were made of them."""
        return (*self.sources, *(file for file in self.files if file not in self.sources))

    @property
    def is_judged(self) -> bool:
        """Whether it is known already what the checks find."""
        return self.row.recipe == self.take.job.recipe and not is_unfinished(self.row.remarks)

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

    def next_roll(self, run_id: int) -> None:
        """Go on to another sound, in place of one that was rejected."""
        self.facts = nothing_known(replace(self.take, edition=self.take.edition + 1))
        self.row = first_row(self.take, run_id)
        self.rolls -= 1
        self.origin = Origin.GENERATED
        self.posted = self.looked_for = False
        self.resends, self.earlier_units, self.task = 0, NOTHING, None
        self.sources = self.files = self.warnings = ()

    def at_hand(self) -> None:
        """Note that what it needs was known, and is at hand."""
        if self.origin is not Origin.KEPT:
            self.origin = Origin.RESTORED

    def as_known(self) -> None:
        """Take what is known of the files for what came of it."""
        facts, job, rejected = self.facts, self.take.job, rejecting(self.row.remarks)
        known = dict(facts.known_files)
        if job.finish:
            known |= {file.format: file for file in facts.made_before} | dict(facts.finished_files)
        self.sources = tuple(facts.known_files[name] for name in job.formats if name in facts.known_files)
        self.files = () if rejected else tuple(known[name] for name in job.outputs if name in known)
        self.error = rejection(self.row, rejected) if rejected else None

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
            reserved=row.counted if row.stage in {Stage.INTENT, Stage.CREATED} else NOTHING,
            undelivered=row.counted if row.stage is Stage.SUCCEEDED else NOTHING,
            files=self.files,
            sources=self._told_sources(),
            remarks=row.remarks,
            warnings=(*self.warnings, *(remark.words for remark in row.remarks if remark.then == "warn")),
            error=self.reason,
            submitted_at=row.sent_at,
            finished_at=row.ended_at,
            voice_id=row.voice_id,
            worker=self.worker,
        )

    def _told_sources(self) -> tuple[FileRecord, ...]:
        """Name the files as they were delivered, where they have not the take's name themselves."""
        if not rejecting(self.row.remarks):
            return self.sources if self.take.job.finish else ()
        kept = ((file, rejected_path(self.take.path(file.format), file.sha256)) for file in self.sources)
        return tuple(replace(file, path=path) for file, path in kept)


def nothing_known(take: Take) -> TakeState:
    """Say of a take that it was never made."""
    return TakeState(take=take, external_id=external_task_id(take), known_files={}, presence={})


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


def work_of(step: Step, facts: TakeState, *, run_id: int, order: int) -> Work:
    """Make a take's record, from what is known of it."""
    take, attempt, finished = facts.take, facts.attempt, facts.finished or facts.moved
    earlier_units = facts.earlier_units
    if attempt is not None and (step.action is Action.RETRY or (finished and attempt.attempt < finished.attempt)):
        earlier_units += attempt.units
    if step.action is Action.RETRY and attempt is not None and attempt.stage is Stage.REFUSED:
        row = withdrawn(attempt)
    elif step.action is Action.RETRY and attempt is not None:
        row = first_row(take, run_id, attempt=attempt.attempt + 1)
    elif attempt is not None and (finished is None or attempt.stage is Stage.DELIVERED):
        row = attempt
    elif finished is not None:
        row = _row_of(finished, attempt.run_id if attempt and attempt.external_id == finished.external_id else 0)
        # The lock counts failed attempts in; what the journal knows of them is not counted twice.
        row = replace(row, units=max(Decimal(0), row.units - earlier_units))
    else:
        row = first_row(take, run_id)
    if row.stage is Stage.DELIVERED:
        row = replace(row, recipe=facts.recipe, remarks=facts.remarks)
    return Work(
        facts=facts,
        row=row,
        order=order,
        earlier_units=earlier_units,
        rolls=step.rolls,
        origin=Origin.KEPT if step.action is Action.FINISH else Origin.GENERATED,
        warnings=tuple(
            f"{path}: edited; it is kept, and --restore-edited puts the original back" for path in facts.edited
        ),
    )


def _row_of(entry: LockEntry, paid_by: int) -> Attempt:
    """Make the journal's row of a take that the lock knows. `paid_by` is a run; 0: this journal did not pay for it."""
    return Attempt(
        external_id=entry.external_id,
        kind=entry.kind,
        job_id=entry.job_id,
        take=entry.take,
        attempt=entry.attempt,
        stage=Stage.DELIVERED,
        units=entry.units,
        run_id=paid_by,
        task_id=entry.task_id,
        rights_by=entry.rights_by,
        rights_at=entry.rights_at,
        voice_id=entry.voice_id,
    )


def orphans(project: str, known: Mapping[str, Attempt], wanted: set[str]) -> list[Work]:
    """Find tasks of this journal that are not asked for this time and may still run: they hold slots."""
    return [
        Work(facts=nothing_known(_orphan(project, row)), row=row, orphan=True)
        for row in known.values()
        if row.stage in {Stage.INTENT, Stage.CREATED} and row.external_id not in wanted
    ]


def _orphan(project: str, row: Attempt) -> Take:
    source = Source(path="", line=1)
    job = Job(project=project, id=row.job_id, kind=row.kind, request={}, formats=(), source=source)
    return Take(job=job, number=row.take, edition=1, stem="")
