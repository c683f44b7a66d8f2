"""A whole run: from a plan to its result, in one task group."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from kling_batch.catalog import Kind, kind
from kling_batch.delivery.place import placed_now
from kling_batch.errors import DiskUnusable, KlingBatchError, LockInvalid
from kling_batch.events import RunEnded, RunStarted, Warned
from kling_batch.model import (
    LimitPoint,
    Manifest,
    Origin,
    RunResult,
    Status,
    TakeKey,
    TakeResult,
)
from kling_batch.planning.drift import incomplete
from kling_batch.planning.earlier import earlier_sounds
from kling_batch.planning.outlook import highest_price
from kling_batch.planning.picks import bring_picks, notes_of, picks_of, recorded
from kling_batch.planning.plan import Action, Plan
from kling_batch.planning.spending import Budget
from kling_batch.records.account import AccountMemory, Knowledge, Mark
from kling_batch.records.attempts import PAID, Attempt, PlacedFile, Stage
from kling_batch.records.lock import Lock
from kling_batch.records.state import Presence, TakeState, with_rerolls
from kling_batch.running.account import Account
from kling_batch.running.copies import Copies
from kling_batch.running.deliver import AT_ONCE, Deliveries
from kling_batch.running.endings import OVER, deadline_passed, exit_status_of, failure, no_callback
from kling_batch.running.engine import Engine
from kling_batch.running.hints import Hints
from kling_batch.running.knowledge import controls_of, durations_of, is_proven, known_of
from kling_batch.running.limits import Limit
from kling_batch.running.locking import LockKeeper
from kling_batch.running.options import Options
from kling_batch.running.ports import Ports
from kling_batch.running.reading import Reader
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.scheduler import MOST_DURATIONS, Scheduler
from kling_batch.running.siblings import Siblings
from kling_batch.running.slots import HeldSlots
from kling_batch.running.watch import Watcher
from kling_batch.running.work import Work, orphans, work_of

_ENDED = {Stage.SUCCEEDED, Stage.DELIVERED, Stage.FAILED}


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
        self._before: asyncio.Task[bool] | None = None

    @property
    def error(self) -> KlingBatchError | None:
        """What stopped the run, if anything did. The first reason counts."""
        return self._error or (self._scheduler.stopped if self._scheduler is not None else None)

    def stop(self, error: KlingBatchError) -> None:
        """Stop the run, now or as soon as it begins."""
        self._error = self.error or error
        if self._scheduler is not None:
            self._scheduler.halt(error)
        if self._before is not None:
            self._before.cancel()

    async def before(self, work: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
        """Find something out before the run, which can be stopped as the run can.

        Raises:
            KlingBatchError: It was stopped; or what the work raises.
        """
        if self._error is not None:
            raise self._error
        self._before = asyncio.create_task(work(), name="before the run")
        try:
            return await self._before
        except asyncio.CancelledError:
            if self._error is None:
                raise
            raise self._error from None

    def attach(self, scheduler: Scheduler) -> None:
        """Learn what to stop."""
        self._error = self.error
        self._scheduler = scheduler
        if self._error is not None:
            scheduler.halt(self._error)


@dataclass(kw_only=True, eq=False)
class Run:
    """Doing what a plan says, one kind of task after the other. The journal is open and held; it is not closed here.

    Args:
        manifest: What is wanted, each take with its own edition.
        plan: What to do, made from this journal and lock.
        lock: The lock as it was read for the plan.
        known: The journal's attempts as they were read for the plan.
        ports: The world.
        reader: Reads from the service.
        options: How to do it.
        budget: What may be spent; it is kept up to date.
        spends: Whether what it adds is its own: one that only restores leaves to the next what a stopped one added.
        everything: Whether the plan covers the whole manifest; only then is the lock rid of what is dropped.
        unanswered: Calls that may have made what nobody can tell of, kept up to date: see `AccountMemory.unanswered`.
        vouched_for: Whether the lease proves that this journal is the one that sent last, and that none other can.
        memory: What this machine knows of the account.
        stopper: Through which somebody outside stops the run.
        offline: There is nobody to ask for anything: all that is to be done is done with what is at hand.
    """

    manifest: Manifest
    plan: Plan
    lock: Lock
    known: Mapping[str, Attempt]
    ports: Ports
    reader: Reader
    options: Options
    budget: Budget
    spends: bool
    everything: bool
    vouched_for: bool
    unanswered: dict[str, float]
    memory: AccountMemory
    stopper: Stopper
    offline: bool = False

    def __post_init__(self) -> None:
        ports, project = self.ports, self.manifest.project
        self._started_at = ports.clock.time()
        self._run_id = 0
        self._copies = Copies(ports.store)
        self._limits: list[LimitPoint] = []
        self._heard = False
        self._note: str | None = None
        self._pools: dict[str, tuple[Limit, HeldSlots]] = {}
        self._account: Account | None = None
        self._looked_through: dict[str, bool] = {}
        self._proven = is_proven(ports, self.memory.mark(project), self.options.settle_time_s)
        self._keeper = LockKeeper(
            path=self.options.lock_path,
            lock=self.lock,
            clock=ports.clock,
            offload=ports.offload,
            probe=ports.probe,
            frozen=self.options.frozen,
            share=ports.share,
        )

    def knows_all(self) -> bool:
        """Whether this journal knows, by now, of all that any journal has sent that had the lease before.

        It does where it was vouched for; else where everything was looked for on an account that is heard, and as long
        as a task may stay invisible.
        """
        lasted_s = self.ports.clock.time() - self._started_at
        kinds = {job.kind for job in self.manifest.jobs}
        looked = all(self._looked_through.get(name, False) for name in kinds)
        return self.vouched_for or (looked and lasted_s >= self.options.settle_time_s)

    def _mark(self, token: str, intents: Sequence[Mapping[str, Any]]) -> None:
        """Note beside the account that this journal sends last; not while what was sent before cannot be known.

        And which calls only this journal can tell of: see `AccountMemory.unanswered`.
        """
        project, account, now = self.manifest.project, self._account, self.ports.clock.time()
        nameless = [row["external_id"] for row in intents if kind(row["kind"]).external_id is None]
        if nameless:
            self.unanswered |= dict.fromkeys(nameless, now)
            self.memory.set_unanswered(project, self.unanswered)
        heard = account is not None and (account.heard or account.kind.external_id is None)
        if heard or self.vouched_for or self._proven or self.options.unproven:
            self.memory.set_mark(project, Mark(token=token, at=now))

    async def execute(self) -> Outcome:
        """Do it, and say what came of it."""
        ports, plan, stopper, project = self.ports, self.plan, self.stopper, self.manifest.project
        since = self.budget.since if self.spends else None
        self._run_id = ports.journal.start_run(self._started_at, spends_since=since)
        works = {
            step.key: work_of(step, step.facts, run_id=self._run_id, order=order)
            for order, step in enumerate(plan.steps)
            if step.facts is not None
        }
        for step in plan.steps:
            self._keeper.keep_rejected(step.facts.rolls_before if step.facts is not None else (), but=step.external_id)
        self._siblings = Siblings(works.values(), self.lock)
        active = [works[step.key] for step in plan.steps if step.key in works and step.action is not Action.KEEP]
        await self._keep(works)
        if any(work.row.stage is not Stage.DELIVERED for work in active):
            active = [*orphans(project, self.known, {work.external_id for work in works.values()}), *active]
        ports.journal.follow(self._mark)
        ports.observe(_started(self._started_at, works.values(), plan))
        for name in self._turns(active):
            if stopper.error is None:
                await self._work_on(kind(name), [work for work in active if work.row.kind == name])
        self._tell_of_callbacks(works.values())
        if self.options.frozen and stopper.error is None and (drift := incomplete(_undelivered(works.values()))):
            stopper.stop(drift)
        if await self._finish_lock():
            self._forget_answered(works.values())
        await _bring_picks(self.manifest, self._keeper.lock, ports, self.options, stopper)
        return await self._ended(tuple(work.result() for work in works.values()))

    def _forget_answered(self, works: Iterable[Work]) -> None:
        """Forget the calls that the lock tells of by now, and those that made nothing."""
        if not self.unanswered:
            return
        known = {entry.external_id for entry in self._keeper.lock.everything()}
        known |= {work.external_id for work in works if work.row.stage not in PAID or work.row.stage is Stage.FAILED}
        self.unanswered = {name: at for name, at in self.unanswered.items() if name not in known}
        self.memory.set_unanswered(self.manifest.project, self.unanswered)

    async def _ended(self, takes: tuple[TakeResult, ...]) -> Outcome:
        """Note the end of the run in the journal."""
        ports, stopped = self.ports, self.stopper.error  # a signal may come now, when there is nothing left to stop
        result = RunResult(
            project=self.manifest.project,
            manifest=self.manifest.path,
            started_at=self._started_at,
            finished_at=ports.clock.time(),
            exit_status=exit_status_of(stopped, (take.status for take in takes)),
            takes=takes,
            api_requests=ports.service.requests,
            limits=tuple(self._limits),
            picks=recorded(self.plan.steps),
            notes=notes_of(self.plan.steps),
            earlier=earlier_sounds(self._keeper.lock, {take.take.key for take in takes}, self.options.out),
            note=stopped.message if stopped is not None else self._note,
        )
        try:
            is_over = self.spends and result.exit_status in OVER
            await ports.journal.end_run(self._run_id, result, is_over=is_over)
        except DiskUnusable as error:  # it is still to be reported
            stopped = stopped or error
            result = replace(result, exit_status=stopped.exit_status, note=stopped.message)
        ports.observe(RunEnded(at=result.finished_at, note=result.note))
        return Outcome(result=result, stopped=stopped)

    def _turns(self, works: Sequence[Work]) -> Iterable[str]:
        """Name the kinds to work on, those in flight first, and hold the slots of each until its turn."""
        in_flight = [work for work in works if work.row.stage in {Stage.INTENT, Stage.CREATED}]
        clock = self.ports.clock
        longest_s = {name: self._known_of(kind(name)).longest_s for name in {work.row.kind for work in in_flight}}
        for work in in_flight:
            row, of_kind = work.row, kind(work.row.kind)
            sent = clock.monotonic() - max(0.0, clock.time() - (row.sent_at or clock.time()))
            _, held = self._pool(of_kind)
            held.hold(
                work.name_in_flight,
                sent,
                longest_s[of_kind.name],
                slots=of_kind.slots,
                answers_at_once=of_kind.synchronous,
            )
        asked_for = {work.row.kind for work in works if not work.orphan}
        return dict.fromkeys(work.row.kind for work in (*in_flight, *works) if work.row.kind in asked_for)

    def _pool(self, of_kind: Kind) -> tuple[Limit, HeldSlots]:
        new = (Limit(cap=self.options.cap), HeldSlots(self.options.settle_time_s))
        return self._pools.setdefault(of_kind.pool, new)

    def _known_of(self, of_kind: Kind) -> Knowledge:
        rows = (row for row in self.known.values() if row.kind == of_kind.name)
        return known_of(self.memory.knowledge(of_kind.name), rows)

    async def _work_on(self, of_kind: Kind, works: list[Work]) -> None:
        """Work on the takes of one kind until they have ended, or the run is stopped."""
        ports, options = self.ports, self.options
        rows = [row for row in self.known.values() if row.kind == of_kind.name]
        locked = [entry for entry in self.lock.everything() if entry.kind == of_kind.name]
        limit, held = self._pool(of_kind)
        for work in works:
            held.free(work.name_in_flight)
        known = {*self.known, *(entry.external_id for entry in self.lock.everything())}
        deliveries = Deliveries(
            self._keeper,
            self._copies,
            self._siblings,
            known=known,
            offline=self.offline,
            at_once=AT_ONCE + (ports.crew.at_once if ports.crew is not None else 0),
        )
        wakes = (asyncio.Event(), asyncio.Event())
        account = Account(self.reader, of_kind)
        account.query_heard = account.live = options.empty_account
        account.claims = {work.row.task_id: work.external_id for work in works if work.row.task_id}
        scheduler = Scheduler(
            works=works,
            kind=of_kind,
            limit=limit,
            held=held,
            account=account,
            options=options,
            budget=self.budget,
            run_id=self._run_id,
            deliver=deliveries.add,
            knowledge=self._known_of(of_kind),
            least_price=highest_price(of_kind, rows, self.lock),
            durations=deque(durations_of(rows), maxlen=MOST_DURATIONS),
            learn_account=partial(self.memory.learn, of_kind.name),
            proven=self.vouched_for or (self._proven and ports.clock.time() - self._started_at < options.settle_time_s),
            clock=ports.clock,
            jitter=ports.rng.random,
            observe=ports.observe,
            wake=partial(_set_all, wakes),
        )
        self._account = account
        self.stopper.attach(scheduler)
        reconciler = Reconciler(scheduler, account, ports)
        engine = Engine(scheduler, reconciler, ports, wakes[0])
        watcher = Watcher(scheduler, reconciler, ports, wakes[1])
        async with asyncio.TaskGroup() as group:  # side by side until the engine says that it is over
            beside = [group.create_task(engine.guarded(watcher.watch), name="watch")]
            if not of_kind.synchronous:  # whose answer takes as long as the work
                telling = self.reader.tell_until_answered(scheduler.patience)
                beside.append(group.create_task(telling, name="tell of silence"))
            delivering = partial(deliveries.work, scheduler, ports)
            beside.append(group.create_task(engine.guarded(delivering), name="deliver"))
            hints = None if ports.callbacks is None else Hints(watcher, ports.callbacks)
            if hints is not None:
                beside.append(group.create_task(engine.guarded(hints.heed), name="callbacks"))
            if options.deadline_s is not None:
                beside.append(group.create_task(self._keep_deadline(scheduler, options.deadline_s), name="deadline"))
            await engine.conduct(group, controls=controls_of(rows, locked))
            for task in beside:
                task.cancel()
        self._heard |= hints is not None and hints.heard
        with scheduler.guarded():
            await ports.journal.save_all([(work.row, ()) for work in scheduler.dearer()])
        self._looked_through[of_kind.name] = account.heard and scheduler.sending
        self._limits += scheduler.limits

    def _tell_of_callbacks(self, works: Iterable[Work]) -> None:
        """Warn where callbacks were asked for, tasks of this run ended, and none came."""
        sent = [work for work in works if work.posted and kind(work.row.kind).callback is not None]
        ended = sum(1 for work in sent if work.row.stage in _ENDED)
        if self.ports.callbacks is not None and ended and not self._heard:
            self._note = no_callback(ended)
            self.ports.observe(Warned(at=self.ports.clock.time(), message=self._note))

    async def _keep(self, works: Mapping[TakeKey, Work]) -> None:
        """Take over what is in place, and what failed for good; nothing of it is worked on."""
        news: list[tuple[Attempt, list[PlacedFile]]] = []
        for step in self.plan.steps:
            if step.action is not Action.KEEP or step.facts is None:
                continue
            work = works[step.key]
            if work.row.stage in {Stage.FAILED, Stage.REFUSED}:
                work.status = Status.FAILED
                work.error = failure(work.row)
                continue
            take = work.take
            work.row = replace(work.row, recipe=take.job.recipe, remarks=work.row.remarks if take.job.recipe else ())
            work.as_known()
            work.sources = tuple(replace(file, path=take.source_path(file.format)) for file in work.sources)
            work.files = tuple(replace(file, path=take.path(file.format)) for file in work.files)
            work.status = Status.SUCCEEDED if work.error is None else Status.FAILED
            work.origin = Origin.KEPT
            if not _is_locked(work, step.facts):
                self._keeper.put(work)
            known = step.facts.attempt is not None and step.facts.attempt.stage is Stage.DELIVERED
            if not known or step.facts.touched:
                news.append((work.row, list(_placed(self.options.out, work))))
        if news:
            await self.ports.journal.save_all(news)

    async def _finish_lock(self) -> bool:
        """Bring the lock up to date, rid of what is dropped, and of what is retired and of which no bytes are left.

        False where the lock, or the team's, does not tell of all.
        """
        keeper, whole = self._keeper, self.everything and self.stopper.error is None
        if whole:
            keeper.drop(step.key for step in self.plan.steps if step.action is Action.DROP)
        try:
            await keeper.write()
            if whole and self._copies.store is not None and self.stopper.error is None:
                delivered = {name for name, row in self.known.items() if row.stage is Stage.DELIVERED}
                await keeper.forget_lost(self._copies.store, delivered)
                await keeper.write()
        except DiskUnusable as error:
            self.stopper.stop(error)
            return False
        try:
            await keeper.share_now()
        except (DiskUnusable, LockInvalid) as error:
            words = f"The team's lock is not up to date: {error.message}. kling-batch lock push brings it there."
            self.ports.observe(Warned(at=self.ports.clock.time(), message=words))
            return False
        return True

    async def _keep_deadline(self, scheduler: Scheduler, seconds: float) -> None:
        clock = self.ports.clock
        await clock.sleep(max(0.0, self._started_at + seconds - clock.time()))
        scheduler.halt(deadline_passed(seconds))


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


def _placed(out: Path, work: Work) -> Iterator[PlacedFile]:
    """Note how the files of a kept take stand."""
    for record in work.all_files:
        finished = record not in work.sources
        standing = work.facts.presence if finished or record in work.files else work.facts.sources
        absent = standing.get(record.format) is not Presence.PRESENT
        yield replace(placed_now(out, record, work.external_id, absent=absent), finished=finished)


def _is_locked(work: Work, facts: TakeState) -> bool:
    """Whether the lock says of a kept take what is so. Its name stands for what was asked for."""
    entry = facts.entry
    if entry is None or entry is not facts.finished or entry.recipe != work.row.recipe:
        return False
    return (entry.all_files, entry.units, entry.remarks) == (work.all_files, work.units, work.row.remarks)


def _undelivered(works: Iterable[Work]) -> list[tuple[str, str]]:
    return [
        (str(work.take.key), work.error.message if work.error else "not looked for")
        for work in works
        if work.status is not Status.SUCCEEDED
    ]


async def _bring_picks(manifest: Manifest, lock: Lock, ports: Ports, options: Options, stopper: Stopper) -> None:
    """Put the files of chosen takes under their plain names as well."""
    picks = picks_of(with_rerolls(manifest.takes, lock), lock)
    for job_id, reason in picks.unplaceable.items():
        ports.observe(Warned(at=ports.clock.time(), message=f"The pick of {job_id} has no file: {reason}."))
    bring = partial(bring_picks, lock=lock, restore_edited=options.restore_edited, probe=ports.probe)
    try:
        brought = await ports.offload(bring, picks.chosen, options.out)
        for words in brought.edited:
            ports.observe(Warned(at=ports.clock.time(), message=words))
    except DiskUnusable as error:
        stopper.stop(error)
