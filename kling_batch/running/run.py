"""A whole run: from a plan to its result, in one task group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

from kling_batch.errors import DiskUnusable, KlingBatchError
from kling_batch.events import RunEnded, RunStarted, Warned
from kling_batch.model import NOTHING, Job, Manifest, Origin, RunResult, Source, Status, Take, TakeKey
from kling_batch.planning.drift import incomplete
from kling_batch.planning.picks import bring_picks, picks_of, recorded
from kling_batch.planning.plan import Action, Plan, Step
from kling_batch.records.account import AccountMemory, Control, Mark
from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.state import Facts, Presence, with_rerolls
from kling_batch.records.store import Store
from kling_batch.running.decide import withdrawn
from kling_batch.running.deliver import WORKERS, Deliveries, placed_now
from kling_batch.running.endings import deadline_passed, exit_status_of, failure
from kling_batch.running.engine import Engine
from kling_batch.running.knowledge import controls_of, highest_price, is_proven, known_of
from kling_batch.running.limits import Budget
from kling_batch.running.locking import LockKeeper
from kling_batch.running.pace import GenerationTimes, learned
from kling_batch.running.ports import Options, Ports
from kling_batch.running.watch import Watcher
from kling_batch.running.work import Work, first_row
from kling_batch.service.catalog import kind

_NONE: frozenset[str] = frozenset()
"""The same object for every take of which nothing is in place: an empty one of its own has 216 bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended: its result for the reports, and what stopped it, if anything did."""

    result: RunResult
    stopped: KlingBatchError | None


class Stopper:
    """Lets somebody outside the run stop it: a signal handler."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._error: KlingBatchError | None = None

    def stop(self, error: KlingBatchError) -> None:
        """Stop the run, now or as soon as it begins."""
        self._error = self._error or error
        if self._engine is not None:
            self._engine.halt(error)

    def attach(self, engine: Engine) -> None:
        """Learn which engine to stop."""
        self._engine = engine
        if self._error is not None:
            engine.halt(self._error)


async def run(
    manifest: Manifest,
    plan: Plan,
    lock: Lock,
    *,
    ports: Ports,
    options: Options,
    everything: bool = True,
    memory: AccountMemory | None = None,
    stopper: Stopper | None = None,
) -> Outcome:
    """Do what a plan says, and say what came of it. The journal is open and held; it is not closed here.

    Args:
        manifest: What is wanted, each take with its own edition.
        plan: What to do, made from this journal and lock.
        lock: The lock as it was read for the plan.
        ports: The world.
        options: How to do it.
        everything: Whether the plan covers the whole manifest; only then is the lock rid of what is dropped.
        memory: What this machine knows of the account; None remembers nothing.
        stopper: Through which somebody outside stops the run.
    """
    started_at = ports.clock.time()
    run_id = ports.journal.start_run(started_at)
    known = ports.journal.attempts()
    budget = Budget(most=options.max_units, spent=sum((row.counted for row in known.values()), Decimal(0)))
    orders = _orders(plan, cut=options.deadline_s is not None or not budget.affords(plan.units))
    works = {
        step.key: work_of(step, step.facts, run_id=run_id, order=orders[step.key])
        for step in plan.steps
        if step.facts is not None
    }
    active = [works[step.key] for step in plan.steps if step.key in works and step.action is not Action.KEEP]
    keeper = LockKeeper(
        options.lock_path, lock, clock=ports.clock, offload=ports.offload, probe=ports.probe, frozen=options.frozen
    )
    await _keep(plan.steps, works, keeper, ports, options.out)
    may_send = any(work.row.stage is not Stage.DELIVERED for work in active)
    strangers = _strangers(manifest.project, known, {work.external_id for work in works.values()}) if may_send else []
    deliveries = Deliveries(keeper, ports.store)
    of_kind = kind("text-to-audio")
    memory = memory or AccountMemory(None, "")
    engine = Engine(
        [*strangers, *active],
        kind=of_kind,
        ports=ports,
        options=options,
        budget=budget,
        run_id=run_id,
        deliver=deliveries.add,
        knowledge=known_of(memory.knowledge(of_kind.name), known.values()),
        least_price=highest_price(of_kind.units, known.values(), lock),
        learn=partial(memory.learn, of_kind.name),
        proven=is_proven(ports, memory.mark(manifest.project), options.settle_time_s),
        times=_times(known.values()),
    )
    ports.journal.follow(lambda token: memory.set_mark(manifest.project, Mark(token=token, at=ports.clock.time())))
    if stopper is not None:
        stopper.attach(engine)
    ports.observe(_started(started_at, works.values(), plan))
    if active:
        await _work_through(engine, deliveries, controls_of(known.values(), lock))
    if options.frozen and engine.stopped is None and (left := _undelivered(works.values())):
        engine.halt(incomplete(left))
    if everything and engine.stopped is None:
        keeper.drop(step.key for step in plan.steps if step.action is Action.DROP)
    await _write_lock(keeper, deliveries.store if everything else None, known, engine)
    await _bring_picks(manifest, keeper.lock, engine)
    return await _outcome(manifest, list(works.values()), engine, started_at, recorded(plan.steps))


def _started(at: float, works: Iterable[Work], plan: Plan) -> RunStarted:
    statuses = [work.status for work in works]
    return RunStarted(
        at=at,
        takes=len(statuses),
        to_generate=plan.count(Action.GENERATE),
        kept=statuses.count(Status.SUCCEEDED),
        failed=statuses.count(Status.FAILED),
    )


def _times(rows: Iterable[Attempt]) -> GenerationTimes:
    """Learn from the journal how long tasks take."""
    done = (row for row in rows if row.stage in {Stage.SUCCEEDED, Stage.DELIVERED})
    return learned((row.created_at, row.ended_at) for row in done if row.created_at and row.ended_at)


def _orders(plan: Plan, *, cut: bool) -> dict[TakeKey, int]:
    """Say in which order takes are sent: the longest sounds first, which shortens the end of a run.

    Where a budget or a deadline may `cut` the run short, some takes are left out: then it is the manifest's order.
    """
    steps = plan.steps if cut else sorted(plan.steps, key=_length)
    return {step.key: order for order, step in enumerate(steps)}


def _length(step: Step) -> float:
    return -step.facts.take.job.duration_s if step.facts is not None else 0.0


async def _work_through(engine: Engine, deliveries: Deliveries, controls: list[Control]) -> None:
    """Run engine, watcher and deliveries side by side until the engine says that it is over."""
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(engine.guarded(Watcher(engine).watch), name="watch")]
        beside += [group.create_task(deliveries.work(engine), name=f"deliver {n}") for n in range(WORKERS)]
        if engine.options.deadline_s is not None:
            beside.append(group.create_task(_keep_deadline(engine, engine.options.deadline_s), name="deadline"))
        await engine.conduct(group, controls=controls)
        for task in (*beside, *engine.calls):
            task.cancel()


async def _keep_deadline(engine: Engine, seconds: float) -> None:
    await engine.ports.clock.sleep(seconds)
    engine.halt(deadline_passed(seconds))


def work_of(step: Step, facts: Facts, *, run_id: int, order: int) -> Work:
    """Make a take's record, from what is known of it."""
    take, attempt, finished = facts.take, facts.attempt, facts.finished or facts.moved
    if step.action is Action.RETRY and attempt is not None and attempt.stage is Stage.REFUSED:
        row = withdrawn(attempt)
    elif step.action is Action.RETRY and attempt is not None:
        row = first_row(take, run_id, attempt=attempt.attempt + 1)
    elif attempt is not None and (finished is None or attempt.stage is Stage.DELIVERED):
        row = attempt
    elif finished is not None:
        row = _row_of(finished, attempt.run_id if attempt and attempt.external_id == finished.external_id else 0)
        # The lock counts failed attempts in; what the journal knows of them is not counted twice.
        row = replace(row, units=max(Decimal(0), row.units - facts.earlier_units))
    else:
        row = first_row(take, run_id)
    failed = attempt.units if step.action is Action.RETRY and attempt is not None else NOTHING
    return Work(
        take=take,
        row=row,
        order=order,
        earlier_units=facts.earlier_units + failed if failed else facts.earlier_units,
        known_files=facts.known_files,
        present=frozenset(name for name, state in facts.presence.items() if state is Presence.PRESENT) or _NONE,
        moved=facts.moved,
    )


def _row_of(entry: LockEntry, paid_by: int) -> Attempt:
    """Make the journal's row of a take that the lock knows. `paid_by` is a run; 0: this journal did not pay for it."""
    return Attempt(
        external_id=entry.external_id,
        job_id=entry.job_id,
        take=entry.take,
        attempt=entry.attempt,
        stage=Stage.DELIVERED,
        units=entry.units,
        run_id=paid_by,
        task_id=entry.task_id,
    )


def _strangers(project: str, known: Mapping[str, Attempt], wanted: set[str]) -> list[Work]:
    """Find tasks of this journal that are not asked for this time and may still run: they hold slots."""
    return [
        Work(take=_stranger(project, row), row=row, stranger=True)
        for row in known.values()
        if row.stage in {Stage.INTENT, Stage.CREATED} and row.external_id not in wanted
    ]


def _stranger(project: str, row: Attempt) -> Take:
    source = Source(path="", line=1)
    job = Job(project=project, id=row.job_id, request={}, source=source)
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
        work.files = tuple(replace(work.known_files[name], path=work.take.path(name)) for name in work.take.job.formats)
        keeper.put(work)
        known = step.facts.attempt is not None and step.facts.attempt.stage is Stage.DELIVERED
        if not known or step.facts.touched:
            news.append((work.row, [placed_now(out, record, work.external_id) for record in work.files]))
    if news:
        await ports.journal.save_all(news)


def _undelivered(works: Iterable[Work]) -> list[tuple[str, str]]:
    return [
        (str(work.take.key), work.error.message if work.error else "not looked for")
        for work in works
        if work.status is not Status.SUCCEEDED
    ]


async def _write_lock(keeper: LockKeeper, store: Store | None, known: Mapping[str, Attempt], engine: Engine) -> None:
    """Bring the lock up to date, rid of what is retired and of which no bytes are left."""
    try:
        await keeper.write()
        if store is not None and engine.stopped is None:
            await keeper.forget_lost(store, {name for name, row in known.items() if row.stage is Stage.DELIVERED})
            await keeper.write()
    except DiskUnusable as error:
        engine.halt(error)


async def _bring_picks(manifest: Manifest, lock: Lock, engine: Engine) -> None:
    """Put the files of chosen takes under their plain names as well."""
    ports = engine.ports
    picks = picks_of(with_rerolls(manifest.takes, lock), lock)
    for pick in picks.unplaceable:
        ports.observe(Warned(at=ports.clock.time(), message=f"The pick of {pick.job_id} has no file: {pick.reason}."))
    try:
        await ports.offload(bring_picks, picks.chosen, engine.options.out, probe=ports.probe)
    except DiskUnusable as error:
        engine.halt(error)


async def _outcome(
    manifest: Manifest, works: Sequence[Work], engine: Engine, started_at: float, picks: tuple[TakeKey, ...]
) -> Outcome:
    """Sum a run up, and write its end."""
    ports = engine.ports
    stopped = engine.stopped  # a signal may come during the last write, when there is nothing left to stop
    results = tuple(work.result() for work in works)
    status = exit_status_of(stopped, (result.status for result in results))
    note = stopped.message if stopped is not None else None
    finished_at = ports.clock.time()
    limits = tuple(engine.limits)
    await ports.journal.end_run(
        engine.run_id,
        now=finished_at,
        exit_status=status,
        api_requests=ports.service.requests,
        note=note,
        limits=limits,
    )
    ports.observe(RunEnded(at=finished_at, note=note))
    result = RunResult(
        project=manifest.project,
        manifest=manifest.path,
        started_at=started_at,
        finished_at=finished_at,
        exit_status=status,
        takes=results,
        api_requests=ports.service.requests,
        limits=limits,
        picks=picks,
        note=note,
    )
    return Outcome(result=result, stopped=stopped)
