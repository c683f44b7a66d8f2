"""Submitting within the limits, taking in what the service says of tasks, and knowing when to stop.

The rules of paying stand here and in `settling`. An intent is durable before its POST. What a POST answers is told
apart by the service's door; here each outcome has one consequence, and an unclear one is settled before anything else
is done about its take.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import assert_never

from kling_batch.errors import AccountStop, KlingBatchError, ServiceUnavailable
from kling_batch.events import LimitChanged, TakeChanged, TakeEnded, Waiting
from kling_batch.model import NOTHING, LimitPoint, Origin, Status, TakeError, Task, TaskStatus
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.running.account import Account
from kling_batch.running.endings import budget_used_up, failure
from kling_batch.running.limits import MOST_SUBMITTING, Budget, Limit, wait_s
from kling_batch.running.lookup import look_up
from kling_batch.running.pace import GenerationTimes
from kling_batch.running.ports import Options, Ports
from kling_batch.running.reading import stop_for
from kling_batch.running.settling import Settling
from kling_batch.running.work import Work, with_task
from kling_batch.service.catalog import Kind
from kling_batch.service.codes import Reaction
from kling_batch.service.outcomes import Created, NotSent, Refused, Unclear

LOOKED = "looked_at_account"
"""The journal's note that the account was looked through for the whole manifest, and for how many seconds."""
_LEAST_WAIT_S = 0.001
"""A clock far from zero cannot tell a shorter while from none."""
_COLLECT_S = 10.0
"""How long an account's stop waits for what is in flight and for files that are on their way."""
_GRACE_S = 5.0
"""How long a stop waits for the answers of calls under way."""
_MOST_FAILURES_IN_A_ROW = 50
"""Failed tasks in a row, with none that succeeded, after which no further attempts are made."""


class Engine:
    """Everything between a take that is wanted and a task that has ended. Lives on one event loop.

    Args:
        works: The takes to submit or to go on with, in the order in which they are to be sent.
        kind: The kind of their tasks.
        deliver: Is called with a work whose task has succeeded; its files are somebody else's matter.
        times: What earlier runs have shown of generation times.
    """

    def __init__(
        self,
        works: list[Work],
        *,
        kind: Kind,
        ports: Ports,
        options: Options,
        budget: Budget,
        run_id: int,
        deliver: Callable[[Work], None],
        times: GenerationTimes | None = None,
    ) -> None:
        self.kind = kind
        self.ports = ports
        self.options = options
        self.budget = budget
        self.run_id = run_id
        self.deliver = deliver
        self.limit = Limit(cap=options.concurrency)
        self.limits: list[LimitPoint] = []
        """The limit's history in this run."""
        self.account = Account(ports.service, kind.path, ports.clock, ports.rng, options.patience_s)
        self.queue: list[tuple[int, Work]] = []
        """A heap, by the works' order."""
        self.flying: dict[str, Work] = {}
        self.unfinished = sum(1 for work in works if not work.stranger)
        self.calls: dict[asyncio.Task[None], None] = {}
        self.submitting = 0
        self.hold_until = 0.0
        self.times = times or GenerationTimes()
        self.troubles = 0
        self.failures_in_a_row = 0
        self.stopped: KlingBatchError | None = None
        self._halts = 0
        self.wake = asyncio.Event()
        self.airborne = asyncio.Event()
        """Set when a task is in flight that nobody may be watching yet."""
        self.progress_at = ports.clock.monotonic()
        self._open = False
        self.settling = Settling(self)
        self._group: asyncio.TaskGroup | None = None
        self._works = works

    def __repr__(self) -> str:
        return f"Engine({len(self.queue)} queued, {len(self.flying)} in flight, {self.limit!r})"

    # Beginning and ending

    async def conduct(self, group: asyncio.TaskGroup, *, look: list[Work], wait: bool, whole: bool) -> None:
        """Work until everything has ended or something stops the run. Never raises for what it met: see `stopped`.

        Args:
            group: Holds every call that is made.
            look: The works to look up on the service before anything is sent.
            wait: Whether to look twice, the settle time apart.
            whole: Whether these are all takes of the manifest: only then the look is noted for later runs.
        """
        self._group = group
        self._emit_limit("as asked for" if self.options.concurrency is not None else "the beginning of auto")
        looking = group.create_task(self.guarded(lambda: self._prepare(look, wait=wait, whole=whole)), name="look-up")
        while self.unfinished and self.stopped is None:
            self.fill()
            if self._starved():
                self.halt(budget_used_up(self.options.max_units, self.budget.spent))
                break
            await self._wait()
        looking.cancel()
        await self._let_calls_end()
        if isinstance(self.stopped, AccountStop):
            await self._collect()

    async def _prepare(self, look: list[Work], *, wait: bool, whole: bool) -> None:
        for work in self._works:
            self._go_on(work)
        if look:
            await look_up(self, look, wait=wait)
            if wait and whole:
                await self.ports.journal.set_meta(LOOKED, str(self.options.settle_time_s))
        self._open = True
        for work in self._works:
            if work.row.stage is Stage.WITHDRAWN and work.status is None:
                self._enqueue(work)
        self.wake.set()

    def _go_on(self, work: Work) -> None:
        """Go on with what an earlier run began."""
        match work.row.stage:
            case Stage.INTENT:
                self.flying[work.external_id] = work
                self._spawn(work, self.settling.settle)
            case Stage.CREATED:
                self._fly(work)
            case Stage.SUCCEEDED | Stage.DELIVERED:
                self.deliver(work)
            case _:
                pass

    async def _wait(self) -> None:
        """Sleep until something happens or is due. Patience and the deadline are judged here, and only here."""
        now = self.ports.clock.monotonic()
        due = [self.progress_at + self.options.patience_s]
        if self.queue:
            due.append(self.hold_until if self.hold_until > now else now + self.options.patience_s)
            grows_at = self.limit.grows_at()
            if grows_at is not None and grows_at > now:
                due.append(grows_at)
        try:
            async with asyncio.timeout(max(_LEAST_WAIT_S, min(due) - now)):
                await self.wake.wait()
        except TimeoutError:
            pass
        self.wake.clear()
        if self.ports.clock.monotonic() - self.progress_at >= self.options.patience_s:
            self.halt(
                ServiceUnavailable(
                    f"Nothing moved for {self.options.patience_s:.0f} s: no task was taken, ended or delivered.",
                    hint="Run the same command again later: it resumes, and nothing is paid for again.",
                )
            )

    def _starved(self) -> bool:
        """Whether the budget alone keeps the rest from being sent, with nothing under way that could free some."""
        return (
            self._open
            and bool(self.queue)
            and not self.flying
            and self.unfinished == len(self.queue)
            and not self.budget.affords(self.kind.units)
        )

    async def _let_calls_end(self) -> None:
        """Give the calls under way a moment: an answer that arrives is an answer that need not be looked for."""
        try:
            async with asyncio.timeout(_GRACE_S):
                while self.submitting:
                    await self.wake.wait()
                    self.wake.clear()
        except TimeoutError:
            pass

    async def _collect(self) -> None:
        """Bring home what is paid for before the account's stop ends the run, while it lets itself be read."""
        halts = self._halts
        try:
            async with asyncio.timeout(_COLLECT_S):
                while self.unfinished > len(self.queue) and self._halts == halts:
                    await self.wake.wait()
                    self.wake.clear()
        except TimeoutError:
            pass

    def halt(self, error: KlingBatchError) -> None:
        """Stop sending, for good. The first reason counts."""
        self._halts += 1
        if self.stopped is None:
            self.stopped = error
        self.wake.set()

    def moved(self) -> None:
        """Note that the work went on, for patience."""
        self.progress_at = self.ports.clock.monotonic()
        self.wake.set()

    # Submitting

    def fill(self) -> None:
        """Send as much as slots, budget and the service's wishes allow, now."""
        now = self.ports.clock.monotonic()
        if not self._open or self.stopped is not None or now < self.hold_until:
            return
        if self.queue and self.limit.grow(len(self.flying), now):
            self._emit_limit("growth after a cooldown")
        while self.queue and self.submitting < MOST_SUBMITTING and self.limit.room(len(self.flying)):
            if not self.budget.affords(self.kind.units):
                return
            _, work = heapq.heappop(self.queue)
            self._intend(work)
            self._spawn(work, self._submit)

    def _intend(self, work: Work) -> None:
        """Take a slot, reserve the units, and make up the intent; it is written before anything is sent."""
        sent_at = self.ports.clock.time()
        self.flying[work.external_id] = work
        self.submitting += 1
        self._move(
            work,
            replace(work.row, stage=Stage.INTENT, units=self.kind.units, sent_at=sent_at, run_id=self.run_id),
        )

    def _spawn(self, work: Work, step: Callable[[Work], Awaitable[None]]) -> None:
        assert self._group is not None  # noqa: S101 - set before anything is begun
        call = self._group.create_task(self.guarded(lambda: step(work)), name=f"take {work.take.key}")
        self.calls[call] = None
        call.add_done_callback(self._forget)

    def _forget(self, call: asyncio.Task[None]) -> None:
        self.calls.pop(call, None)

    async def guarded(self, call: Callable[[], Awaitable[None]]) -> None:
        """Stop the run where a call meets what ends it, such as a full disk.

        The call is made here, so that a task that is cancelled before it began leaves no coroutine behind.
        """
        try:
            await call()
        except KlingBatchError as error:
            self.halt(error)

    async def _submit(self, work: Work) -> None:
        """Send one take whose intent was made up, and do what its outcome asks for."""
        name = work.external_id
        try:
            self.emit(work, "submitting")
            await self.ports.journal.save(work.row)
            work.posted = True
            outcome = await self.ports.service.create(self.kind.path, work.take.job.request, name)
        finally:
            self.submitting -= 1
            self.wake.set()
        if not work.waits_for(name):
            # A first task of this id came to light while it was sent again: that one is ours.
            return
        match outcome:
            case Created(task=task):
                await self._created(work, task)
            case Refused():
                await self._refused(work, outcome)
            case NotSent(reason=reason):
                self._trouble(reason)
                await self.withdraw(work)
            case Unclear(reason=reason):
                self._trouble(reason)
                await self.settling.settle(work, reason)
            case _:
                assert_never(outcome)

    async def _created(self, work: Work, task: Task) -> None:
        self.troubles = 0
        before = self.limit.current
        self.limit.accepted(len(self.flying) - self.submitting)
        if self.limit.current != before:
            self._emit_limit("the service took what it was given")
        self.moved()
        await self.observe(work, task)

    async def _refused(self, work: Work, refused: Refused) -> None:
        stop = stop_for(refused)
        if stop is not None:
            self.halt(stop)
            await self.withdraw(work)
        elif refused.reaction is Reaction.NO_ROOM:
            await self._no_room(work)
        elif refused.reaction is Reaction.SLOW_DOWN:
            self._trouble(f"{refused.code}: {refused.message}")
            await self.withdraw(work)
        elif refused.reaction is Reaction.REFUSE_OR_EXISTS and await self.settling.exists(work):
            return
        elif work.resends:
            words = f"sent again after a lost answer, and refused with {refused.code}: {refused.message}"
            self.settling.leave_unknown(work, words)
        else:
            await self._refuse(work, refused)

    async def _no_room(self, work: Work) -> None:
        """Learn how much room there is, wait, and put the take back where it was.

        Several calls under way may be refused together: that is one lesson, and one wait.
        """
        now = self.ports.clock.monotonic()
        if now >= self.hold_until:
            others = len(self.flying) - self.submitting - 1
            self.limit.refused(max(0, others), now)
            self._emit_limit("the account has no more room (1303)")
            self._hold(wait_s(self.limit.refusals, self.ports.rng.random()), "every slot of the account is taken")
        await self.withdraw(work)

    def see_others(self, others: int) -> None:
        """Learn how many tasks of others the account's list shows in flight."""
        if self.limit.saw(len(self.flying), others, self.ports.clock.monotonic()):
            self._emit_limit("others leave room")
            self.wake.set()

    def _trouble(self, reason: str) -> None:
        self.troubles += 1
        self._hold(wait_s(self.troubles, self.ports.rng.random()), reason)

    def _enqueue(self, work: Work) -> None:
        """Queue a work in its place. While the account is looked through, the queue is not made yet."""
        if self._open:
            heapq.heappush(self.queue, (work.order, work))
        self.wake.set()

    def _hold(self, seconds: float, reason: str) -> None:
        self.hold_until = max(self.hold_until, self.ports.clock.monotonic() + seconds)
        self.ports.observe(Waiting(at=self.ports.clock.time(), seconds=seconds, reason=reason))

    async def withdraw(self, work: Work) -> None:
        """Take an intent back: the POST is known to have made nothing. It goes first when there is room again."""
        self.flying.pop(work.external_id, None)
        work.posted = False
        self._move(work, replace(work.row, stage=Stage.WITHDRAWN, units=NOTHING))
        self._enqueue(work)
        await self.ports.journal.save(work.row)

    async def _refuse(self, work: Work, refused: Refused) -> None:
        self.flying.pop(work.external_id, None)
        self._move(
            work,
            replace(
                work.row,
                stage=Stage.REFUSED,
                units=NOTHING,
                code=refused.code,
                message=refused.message,
                final=True,
                ended_at=self.ports.clock.time(),
            ),
        )
        await self.ports.journal.save(work.row)
        self.end(work, Status.FAILED, failure(work.row))

    # What the service says of a task

    async def observe(self, work: Work, task: Task) -> None:
        """Take in what the service says of a work's task."""
        await self.observe_all([(work, task)])

    async def observe_all(self, seen: Sequence[tuple[Work, Task]]) -> None:
        """Take in what the service says of many tasks; slots are free in the turn in which their end is seen.

        Everything is taken in, and free slots are filled, before the disk is waited for.
        """
        changed = [(work, work.row) for work, task in seen if self._take_in(work, task)]
        if not changed:
            return
        self.fill()
        await self.ports.journal.save_all([(row, ()) for _, row in changed])
        for work, row in changed:
            self._go_on_from(work, row)

    def _take_in(self, work: Work, task: Task) -> bool:
        """Move a work on by what the service says of its task. False where that is nothing new."""
        before = work.row
        after = with_task(before, task, self.run_id, self.ports.clock.time(), self.kind.units)
        if after.stage is before.stage and after.task_id == before.task_id:
            return False
        work.task = task
        if not work.posted:
            work.origin = Origin.RESUMED
        if task.status is TaskStatus.FAILED:
            after = replace(after, final=self.kind.fails_for_good(task.message))
        self._move(work, after)
        if task.status.ended:
            self._learn(after)
            self.flying.pop(work.external_id, None)
            self.moved()
        else:
            self._fly(work)
        return True

    def _go_on_from(self, work: Work, row: Attempt) -> None:
        """Do what a task's end asks for, once it is written. While it was, the work may have moved on from `row`."""
        if work.stranger:
            return
        if row.stage is Stage.SUCCEEDED:
            self.emit(work, "generated")
            self.failures_in_a_row = 0
            self.deliver(work)
        elif row.stage is Stage.FAILED:
            self._failed(work)

    def _learn(self, row: Attempt) -> None:
        """Learn how long a task took, by the service's own clock."""
        if row.stage is Stage.SUCCEEDED and row.created_at is not None and row.ended_at is not None:
            self.times.add(row.ended_at - row.created_at)

    def _fly(self, work: Work) -> None:
        self.flying[work.external_id] = work
        passed = 0.0 if work.posted else self.ports.clock.time() - (work.row.created_at or self.ports.clock.time())
        work.flying_since = self.ports.clock.monotonic() - max(0.0, passed)
        self.airborne.set()
        self.emit(work, "in-flight", f"task {work.row.task_id}")

    def lost(self, work: Work) -> None:
        """End a take whose task the service named and no longer knows. It is not made anew unasked: it may be paid."""
        self.flying.pop(work.external_id, None)
        if work.stranger:
            return
        message = f"Task {work.row.task_id} is not known to the service any more; perhaps it was paid for."
        repair = "Ask the service's support with the task id, or raise the job's edition to pay for a new one."
        self.end(work, Status.UNKNOWN, TakeError(code=None, message=message, hint=repair))

    def _failed(self, work: Work) -> None:
        """Decide on a task that failed: another attempt where the reason may pass, or the end of the take."""
        self.failures_in_a_row += 1
        row = work.row
        hopeless = self.failures_in_a_row > _MOST_FAILURES_IN_A_ROW
        work.error = failure(row)
        if row.final or row.attempt > self.options.retries or hopeless:
            self.end(work, Status.FAILED, work.error)
            return
        work.next_attempt(self.run_id)
        self.emit(work, "retrying", row.message)
        self._enqueue(work)

    def end(self, work: Work, status: Status, error: TakeError | None = None) -> None:
        """Give a take its final status in this run. What the service said of its task is let go."""
        work.task = None
        work.status = status
        work.error = error
        self.unfinished -= 1
        self.moved()
        self.ports.observe(
            TakeEnded(
                at=self.ports.clock.time(),
                take=work.take.key,
                status=status,
                units=work.row.units,
                detail=error.message if error else "",
            )
        )

    # Small things

    def _move(self, work: Work, row: Attempt) -> None:
        """Move an attempt on, and the budget with it."""
        self.budget.spent += row.counted - work.row.counted
        work.row = row

    def emit(self, work: Work, state: str, detail: str = "") -> None:
        """Tell the observer that a take moved on."""
        self.ports.observe(
            TakeChanged(
                at=self.ports.clock.time(),
                take=work.take.key,
                external_id=work.external_id,
                state=state,
                detail=detail,
            )
        )

    def _emit_limit(self, reason: str) -> None:
        point = LimitPoint(at=self.ports.clock.time(), limit=self.limit.current, reason=reason)
        self.limits.append(point)
        self.ports.observe(LimitChanged(at=point.at, limit=point.limit, reason=reason))
