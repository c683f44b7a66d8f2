"""A whole run: from a plan to its result, in one task group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

from kling_batch.catalog import kind
from kling_batch.delivery.place import placed_now
from kling_batch.errors import DiskUnusable, KlingBatchError
from kling_batch.events import RunEnded, RunStarted, Warned
from kling_batch.model import (
    FileRecord,
    Job,
    LimitPoint,
    Manifest,
    Origin,
    RunResult,
    Source,
    Status,
    Take,
    TakeKey,
)
from kling_batch.planning.drift import incomplete
from kling_batch.planning.outlook import highest_price
from kling_batch.planning.picks import bring_picks, picks_of, recorded
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.account import AccountMemory, Control, Mark
from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.state import Presence, TakeState, with_rerolls
from kling_batch.records.store import Store
from kling_batch.running.account import Account
from kling_batch.running.decide import withdrawn
from kling_batch.running.deliver import WORKERS, Deliveries
from kling_batch.running.endings import deadline_passed, exit_status_of, failure
from kling_batch.running.engine import Engine
from kling_batch.running.knowledge import controls_of, durations_of, is_proven, known_of
from kling_batch.running.limits import Budget, Limit
from kling_batch.running.locking import LockKeeper
from kling_batch.running.options import Options
from kling_batch.running.ports import Ports
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.slots import HeldSlots
from kling_batch.running.watch import Watcher
from kling_batch.running.work import Work, first_row

_NONE: frozenset[str] = frozenset()
"""The same object for every take of which nothing is in place: an empty one of its own has 216 bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended: its result for the reports, and what stopped it, if anything did."""

    result: RunResult
    stopped: KlingBatchError | None


class Stopper:
    """Stops a run, and knows why it was stopped: also from outside, by a signal handler."""

    def __init__(self) -> None:
        self._scheduler: Scheduler | None = None
        self._error: KlingBatchError | None = None

    @property
    def error(self) -> KlingBatchError | None:
        """What stopped the run, if anything did. The first reason counts."""
        return self._error or (self._scheduler.stopped if self._scheduler is not None else None)

    def stop(self, error: KlingBatchError) -> None:
        """Stop the run, now or as soon as it begins."""
        self._error = self.error or error
        if self._scheduler is not None:
            self._scheduler.halt(error)

    def attach(self, scheduler: Scheduler) -> None:
        """Learn what to stop."""
        self._error = self.error
        self._scheduler = scheduler
        if self._error is not None:
            scheduler.halt(self._error)


async def run(
    manifest: Manifest,
    plan: Plan,
    lock: Lock,
    known: Mapping[str, Attempt],
    *,
    ports: Ports,
    options: Options,
    everything: bool = True,
    memory: AccountMemory | None = None,
    stopper: Stopper | None = None,
) -> Outcome:
    """Do what a plan says, one kind of task after the other, and say what came of it.

    The journal is open and held; it is not closed here.

    Args:
        manifest: What is wanted, each take with its own edition.
        plan: What to do, made from this journal and lock.
        lock: The lock as it was read for the plan.
        known: The journal's attempts as they were read for the plan.
        ports: The world.
        options: How to do it.
        everything: Whether the plan covers the whole manifest; only then is the lock rid of what is dropped.
        memory: What this machine knows of the account; None remembers nothing.
        stopper: Through which somebody outside stops the run.
    """
    started_at = ports.clock.time()
    run_id = ports.journal.start_run(started_at)
    budget = Budget(most=options.max_units, spent=sum((row.counted for row in known.values()), Decimal(0)))
    works = {
        step.key: work_of(step, step.facts, run_id=run_id, order=order)
        for order, step in enumerate(plan.steps)
        if step.facts is not None
    }
    active = [works[step.key] for step in plan.steps if step.key in works and step.action is not Action.KEEP]
    keeper = LockKeeper(
        options.lock_path, lock, clock=ports.clock, offload=ports.offload, probe=ports.probe, frozen=options.frozen
    )
    await _keep(plan.steps, works, keeper, ports, options.out)
    may_send = any(work.row.stage is not Stage.DELIVERED for work in active)
    orphans = _orphans(manifest.project, known, {work.external_id for work in works.values()}) if may_send else []
    memory = memory or AccountMemory(None, "")
    stopper = stopper or Stopper()
    store = ports.store
    limits: list[LimitPoint] = []
    pools: dict[str, tuple[Limit, HeldSlots]] = {}
    proven = is_proven(ports, memory.mark(manifest.project), options.settle_time_s)
    ports.journal.follow(lambda token: memory.set_mark(manifest.project, Mark(token=token, at=ports.clock.time())))
    ports.observe(_started(started_at, works.values(), plan))
    for of_kind in [kind(name) for name in dict.fromkeys(work.row.kind for work in active)]:
        if stopper.error is not None:
            break
        mine = [work for work in (*orphans, *active) if work.row.kind == of_kind.name]
        rows = [row for row in known.values() if row.kind == of_kind.name]
        limit, held = pools.setdefault(of_kind.pool, (Limit(cap=options.cap), HeldSlots()))
        deliveries = Deliveries(keeper, store)
        wakes = (asyncio.Event(), asyncio.Event())
        account = Account(ports.service, of_kind, ports.clock, ports.rng, options.patience_s)
        account.query_heard = account.live = options.newborn
        account.claims = {work.row.task_id: work.external_id for work in mine if work.row.task_id}
        scheduler = Scheduler(
            mine,
            kind=of_kind,
            limit=limit,
            held=held,
            account=account,
            options=options,
            budget=budget,
            run_id=run_id,
            deliver=deliveries.add,
            knowledge=known_of(memory.knowledge(of_kind.name), rows),
            least_price=highest_price(of_kind, rows, lock),
            durations=durations_of(rows),
            learn=partial(memory.learn, of_kind.name),
            proven=proven and ports.clock.time() - started_at < options.settle_time_s,
            clock=ports.clock,
            jitter=ports.rng.random,
            observe=ports.observe,
            wake=partial(_set_all, wakes),
        )
        stopper.attach(scheduler)
        controls = controls_of(of_kind, rows, lock)
        await _work_through(scheduler, account, deliveries, ports, wakes, controls, started_at)
        limits += scheduler.limits
        store = deliveries.store
    if options.frozen and stopper.error is None and (drift := incomplete(_undelivered(works.values()))):
        stopper.stop(drift)
    if everything and stopper.error is None:
        keeper.drop(step.key for step in plan.steps if step.action is Action.DROP)
    await _write_lock(keeper, store if everything else None, known, stopper)
    await _bring_picks(manifest, keeper.lock, ports, options.out, stopper)
    stopped = stopper.error  # a signal may come during the last write, when there is nothing left to stop
    results = tuple(work.result() for work in works.values())
    result = RunResult(
        project=manifest.project,
        manifest=manifest.path,
        started_at=started_at,
        finished_at=ports.clock.time(),
        exit_status=exit_status_of(stopped, (result.status for result in results)),
        takes=results,
        api_requests=ports.service.requests,
        limits=tuple(limits),
        picks=recorded(plan.steps),
        note=stopped.message if stopped is not None else None,
    )
    try:
        await ports.journal.end_run(
            run_id,
            now=result.finished_at,
            exit_status=result.exit_status,
            api_requests=result.api_requests,
            note=result.note,
            limits=result.limits,
        )
    except DiskUnusable as error:  # it is still to be reported
        stopped = stopped or error
        result = replace(result, exit_status=stopped.exit_status, note=stopped.message)
    ports.observe(RunEnded(at=result.finished_at, note=result.note))
    return Outcome(result=result, stopped=stopped)


def _set_all(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        event.set()


def _started(at: float, works: Iterable[Work], plan: Plan) -> RunStarted:
    statuses = [work.status for work in works]
    return RunStarted(
        at=at,
        takes=len(statuses),
        to_generate=plan.count(Action.GENERATE),
        kept=statuses.count(Status.SUCCEEDED),
        failed=statuses.count(Status.FAILED),
    )


async def _work_through(
    scheduler: Scheduler,
    account: Account,
    deliveries: Deliveries,
    ports: Ports,
    wakes: tuple[asyncio.Event, asyncio.Event],
    controls: list[Control],
    started_at: float,
) -> None:
    """Run engine, watcher and deliveries side by side until the engine says that it is over."""
    reconciler = Reconciler(scheduler, account, ports)
    engine = Engine(scheduler, reconciler, ports, wakes[0])
    watcher = Watcher(scheduler, reconciler, ports, wakes[1])
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(engine.guarded(watcher.watch), name="watch")]
        delivering = partial(deliveries.work, scheduler, ports)
        beside += [group.create_task(engine.guarded(delivering), name=f"deliver {n}") for n in range(WORKERS)]
        if (seconds := scheduler.options.deadline_s) is not None:
            beside.append(group.create_task(_keep_deadline(scheduler, ports, seconds, started_at), name="deadline"))
        await engine.conduct(group, controls=controls)
        for task in beside:
            task.cancel()


async def _keep_deadline(scheduler: Scheduler, ports: Ports, seconds: float, started_at: float) -> None:
    await ports.clock.sleep(max(0.0, started_at + seconds - ports.clock.time()))
    scheduler.halt(deadline_passed(seconds))


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
    return Work(
        take=take,
        row=row,
        order=order,
        earlier_units=earlier_units,
        known_files=facts.known_files,
        present=frozenset(name for name, state in facts.presence.items() if state is Presence.PRESENT) or _NONE,
        moved=facts.moved,
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
    )


def _orphans(project: str, known: Mapping[str, Attempt], wanted: set[str]) -> list[Work]:
    """Find tasks of this journal that are not asked for this time and may still run: they hold slots."""
    return [
        Work(take=_orphan(project, row), row=row, orphan=True)
        for row in known.values()
        if row.stage in {Stage.INTENT, Stage.CREATED} and row.external_id not in wanted
    ]


def _orphan(project: str, row: Attempt) -> Take:
    source = Source(path="", line=1)
    job = Job(project=project, id=row.job_id, kind=row.kind, request={}, formats=(), source=source)
    return Take(job=job, number=row.take, edition=1, stem="")


async def _keep(
    steps: Sequence[Step], works: Mapping[TakeKey, Work], keeper: LockKeeper, ports: Ports, out: Path
) -> None:
    """Take over what is in place, and what failed for good; nothing of it is worked on."""
    news: list[tuple[Attempt, list[PlacedFile]]] = []
    for step in steps:
        if step.action is not Action.KEEP or step.facts is None:
            continue
        work = works[step.key]
        if work.row.stage in {Stage.FAILED, Stage.REFUSED}:
            work.status = Status.FAILED
            work.error = failure(work.row)
            continue
        work.status = Status.SUCCEEDED
        work.origin = Origin.KEPT
        work.files = tuple(_found_at(work.take.path(name), work.known_files[name]) for name in work.take.job.formats)
        if not _is_locked(work, step.facts):
            keeper.put(work)
        known = step.facts.attempt is not None and step.facts.attempt.stage is Stage.DELIVERED
        if not known or step.facts.touched:
            news.append((work.row, [placed_now(out, record, work.external_id) for record in work.files]))
    if news:
        await ports.journal.save_all(news)


def _is_locked(work: Work, facts: TakeState) -> bool:
    """Whether the lock says of a kept take what is so. Its name stands for what was asked for."""
    entry = facts.entry
    return entry is not None and entry is facts.finished and (entry.files, entry.units) == (work.files, work.units)


def _found_at(path: str, file: FileRecord) -> FileRecord:
    return file if file.path == path else replace(file, path=path)


def _undelivered(works: Iterable[Work]) -> list[tuple[str, str]]:
    return [
        (str(work.take.key), work.error.message if work.error else "not looked for")
        for work in works
        if work.status is not Status.SUCCEEDED
    ]


async def _write_lock(keeper: LockKeeper, store: Store | None, known: Mapping[str, Attempt], stopper: Stopper) -> None:
    """Bring the lock up to date, rid of what is retired and of which no bytes are left."""
    try:
        await keeper.write()
        if store is not None and stopper.error is None:
            await keeper.forget_lost(store, {name for name, row in known.items() if row.stage is Stage.DELIVERED})
            await keeper.write()
    except DiskUnusable as error:
        stopper.stop(error)


async def _bring_picks(manifest: Manifest, lock: Lock, ports: Ports, out: Path, stopper: Stopper) -> None:
    """Put the files of chosen takes under their plain names as well."""
    picks = picks_of(with_rerolls(manifest.takes, lock), lock)
    for pick in picks.unplaceable:
        ports.observe(Warned(at=ports.clock.time(), message=f"The pick of {pick.job_id} has no file: {pick.reason}."))
    try:
        await ports.offload(bring_picks, picks.chosen, out, probe=ports.probe)
    except DiskUnusable as error:
        stopper.stop(error)
