"""Submitting within the limits, taking in what the service says of tasks, and knowing when to stop.

An intent is durable before its POST. What each outcome means for the attempt is decided in `decide`; here it is done.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from kling_batch.errors import AccountStop, KlingBatchError, ServiceStop, ServiceUnavailable
from kling_batch.events import LimitChanged, TakeChanged, TakeEnded, Waiting
from kling_batch.model import NOTHING, LimitPoint, Origin, Status, TakeError, Task
from kling_batch.records.account import Control, Knowledge
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.running import decide, reconcile
from kling_batch.running.account import Account
from kling_batch.running.decide import Next, Silence
from kling_batch.running.endings import budget_used_up, failure, first_few_refused, slots_held
from kling_batch.running.limits import MOST_SUBMITTING, Budget, Limit, wait_s
from kling_batch.running.pace import GenerationTimes
from kling_batch.running.ports import Options, Ports
from kling_batch.running.reading import Patience, stop_for
from kling_batch.running.slots import HeldSlots, surely_ended_s
from kling_batch.running.work import Work
from kling_batch.service.catalog import Kind
from kling_batch.service.codes import ABOUT_WORDS
from kling_batch.service.outcomes import Created, CreateOutcome, NotSent, Refused, Unclear

_LEAST_WAIT_S = 0.001
"""A clock far from zero cannot tell a shorter while from none."""
_LONGEST_NAP_S = 30.0
"""How long the engine sleeps at most, so that a sleep of the machine is told from its own."""
_LONGEST_TROUBLE_S = 5.0
"""The longest wait after calls that failed: a service that is well again is noticed soon, by few calls."""
_COLLECT_S = 10.0
"""How long a stop that the service is the reason of waits for what is in flight and for files on their way."""
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
        knowledge: What was seen of the account: its highest price, its longest generation.
        least_price: What a task may cost, in units, by the list and by what is known of this set.
        learn: Keeps what this run has seen of the account.
        proven: Whether this journal is known to be the one that sent last.
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
        knowledge: Knowledge,
        least_price: Decimal,
        learn: Callable[[Knowledge], None],
        proven: bool,
        times: GenerationTimes | None = None,
    ) -> None:
        self.kind = kind
        self.ports = ports
        self.options = options
        self.budget = budget
        self.run_id = run_id
        self.deliver = deliver
        self.knowledge = knowledge
        self._least_price = least_price
        self._learn_account = learn
        self.proven = proven
        self.limit = Limit(cap=options.concurrency)
        self.limits: list[LimitPoint] = []
        """The limit's history in this run."""
        self.account = Account(ports.service, kind.path, ports.clock, ports.rng, options.patience_s)
        self.account.query_heard = self.account.live = options.newborn
        self.account.claims = {work.row.task_id: work.external_id for work in works if work.row.task_id}
        self.queue: list[tuple[int, Work]] = []
        """A heap, by the works' order."""
        self.flying: dict[str, Work] = {}
        self.held = HeldSlots()
        """Slots of tasks that nobody can see, and that may run."""
        self.canary: Work | None = None
        """The take that was sent alone, for a source to be heard by it."""
        self._proving = options.newborn
        self._judged = options.newborn
        """Whether it is known if the account shows this run's first task by its external id."""
        self.doubts: list[tuple[Work, Refused]] = []
        """Refusals that may be a matter of the account, and not of each take."""
        self._doubted: set[str] = set()
        self._taken = False
        self.unfinished = sum(1 for work in works if not work.stranger)
        self.calls: dict[asyncio.Task[None], None] = {}
        self.submitting = 0
        self.hold_until = 0.0
        self.times = times or GenerationTimes()
        self.troubles = 0
        self._lesson_at = 0.0
        self.failures_in_a_row = 0
        self.stopped: KlingBatchError | None = None
        self._halts = 0
        self.wake = asyncio.Event()
        self.airborne = asyncio.Event()
        """Set when a task is in flight that nobody may be watching yet."""
        self.patience = Patience(ports.clock, options.patience_s)
        self._open = False
        self._group: asyncio.TaskGroup | None = None
        self._works = works

    def __repr__(self) -> str:
        return f"Engine({len(self.queue)} queued, {len(self.flying)} in flight, {self.held!r}, {self.limit!r})"

    # Beginning and ending

    async def conduct(self, group: asyncio.TaskGroup, *, controls: list[Control]) -> None:
        """Work until everything has ended or something stops the run. Never raises for what it met: see `stopped`.

        Args:
            group: Holds every call that is made.
            controls: Tasks that are known to exist, to hear the account by.
        """
        self._group = group
        self._emit_limit("as asked for" if self.options.concurrency is not None else "the beginning of auto")
        preparing = group.create_task(self.guarded(lambda: self._prepare(controls)), name="look-up")
        while self.unfinished and self.stopped is None:
            self.fill()
            if self._only_waits() and not self.budget.affords(self.price):
                self.halt(budget_used_up(self.options.max_units, self.budget.spent))
                break
            if self._only_waits() and self._held_for_s() > self.options.patience_s:
                self.halt(slots_held(len(self.held), self._held_for_s()))
                break
            await self.guarded(self._settle_doubts)
            if self.unfinished and self.stopped is None:
                await self._wait()
        preparing.cancel()
        await self._let_calls_end()
        if isinstance(self.stopped, AccountStop | ServiceStop):
            await self._collect()

    async def _prepare(self, controls: list[Control]) -> None:
        for work in self._works:
            self._go_on(work)
        unsettled = any(work.row.stage is Stage.INTENT for work in self._works)
        if (self._waiting() or unsettled) and not self.options.newborn:
            await reconcile.hear(self, controls)
        while unseen := [work for work in self._waiting() if not (work.looked_for or self.options.newborn)]:
            await reconcile.look_up(self, unseen, seconds=0.0 if self.proven else self.options.settle_time_s)
        self._open_queue()

    def _waiting(self) -> list[Work]:
        """Give the works that are to be sent, and that no refusal is doubted of."""
        doubted = {id(work) for work, _ in self.doubts}
        ready = (work for work in self._works if work.row.stage is Stage.WITHDRAWN and work.status is None)
        return [work for work in ready if id(work) not in doubted and not work.stranger]

    def _open_queue(self) -> None:
        self._open = True
        self.queue = [(work.order, work) for work in self._waiting()]
        heapq.heapify(self.queue)
        self.wake.set()

    async def _look_again(self, seconds: float) -> None:
        """Look for all that is to be sent once more, twice, so many seconds apart; nothing is sent meanwhile."""
        self._open = False
        self.queue = []
        await reconcile.look_up(self, self._waiting(), seconds=seconds)
        self._open_queue()

    def _go_on(self, work: Work) -> None:
        """Go on with what an earlier run began."""
        match work.row.stage:
            case Stage.INTENT:
                self.flying[work.external_id] = work
                self._spawn(work, self._settle)
            case Stage.CREATED:
                self._fly(work)
            case Stage.SUCCEEDED | Stage.DELIVERED:
                self.deliver(work)
            case _:
                pass

    async def _wait(self) -> None:
        """Sleep until something happens or is due. Patience is judged here, and only here."""
        now = self.ports.clock.monotonic()
        due = [now + min(_LONGEST_NAP_S, self.patience.left_s)]
        if self.queue:
            if self.hold_until > now:
                due.append(self.hold_until)
            due += [at for at in (self.limit.grows_at(), self.held.free_at()) if at is not None and at > now]
        seconds = max(_LEAST_WAIT_S, min(due) - now)
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            pass
        self.wake.clear()
        slept_s = self.patience.waited(now, seconds)
        if slept_s > self.options.settle_time_s and self._open and self.queue and not self.options.newborn:
            settle_s = self.options.settle_time_s  # another machine may have sent these takes meanwhile
            self._spawn(self.queue[0][1], lambda _: self._look_again(settle_s))
            self._open = False
        if self.patience.left_s <= 0:
            self.halt(
                ServiceUnavailable(
                    f"Nothing moved for {self.options.patience_s:.0f} s: no task was taken, ended or delivered.",
                    hint="Run the same command again later: it resumes, and nothing is paid for again.",
                )
            )

    def _only_waits(self) -> bool:
        """Whether there are takes to send, and nothing is under way that could change what keeps them from it."""
        waiting = len(self.queue) + len(self.doubts)
        return self._open and not self.canary and bool(self.queue) and not self.flying and self.unfinished == waiting

    def _held_for_s(self) -> float:
        """Say for how long held slots alone keep anything from being sent; 0 where they do not."""
        free_at = self.held.free_at()
        if free_at is None or self._room():
            return 0.0
        return free_at - self.ports.clock.monotonic()

    async def _settle_doubts(self) -> None:
        """Believe refusals one by one, unless the first few takes were all refused so."""
        if not self.doubts or self.submitting:
            return
        codes = {refused.code for _, refused in self.doubts}
        subjects = {_subject(work, refused) for work, refused in self.doubts}
        if not self._taken and len(codes) == 1 and len(subjects) >= decide.FIRST_FEW:
            self.halt(first_few_refused(self.doubts[0][1], len(self.doubts)))
        elif self._taken or self.unfinished == len(self.doubts) or len(codes) > 1:
            doubts, self.doubts, self._doubted = self.doubts, [], set()
            for work, refused in doubts:
                await self._refuse(work, refused)

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
        """Bring home what is paid for before the service's stop ends the run, while it lets itself be read."""
        halts = self._halts
        try:
            async with asyncio.timeout(_COLLECT_S):
                while self.unfinished > len(self.queue) + len(self.doubts) and self._halts == halts:
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
        self.patience.renew()
        self.wake.set()

    # Submitting

    @property
    def price(self) -> Decimal:
        """The highest price known of a task: by the list, by this set, or by what this account was charged."""
        return max(self._least_price, self.knowledge.price or NOTHING)

    @property
    def in_flight(self) -> int:
        """How many slots are taken, or may be."""
        return len(self.flying) + len(self.held)

    def fill(self) -> None:
        """Send as much as slots, budget and the service's wishes allow, now."""
        now = self.ports.clock.monotonic()
        if not self._open or self.stopped is not None or now < self.hold_until:
            return
        self.held.release(now)
        if self.queue and self.limit.grow(self.in_flight, now):
            self._emit_limit("growth after a cooldown")
        while self.queue and self._room():
            if not self.budget.affords(self.price):
                return
            _, work = heapq.heappop(self.queue)
            if work.row.stage is not Stage.WITHDRAWN:
                continue  # its task came to light while it waited
            self._intend(work)
            self._spawn(work, self._submit)

    def _room(self) -> int:
        """How many more may be sent now."""
        room = min(self.limit.room(self.in_flight), MOST_SUBMITTING - self.submitting)
        if not self._taken and len(self._doubted) >= decide.FIRST_FEW:
            return 0
        if self._needs_a_canary():
            return min(room, 0 if self.canary else 1)
        if self.options.max_units is not None and self.knowledge.price is None:
            return 0 if self.in_flight else min(room, 1)
        return room

    def _needs_a_canary(self) -> bool:
        return not (self.account.live or self._judged)

    def may_still_hear(self) -> bool:
        """Whether a source may yet be heard in this run, by a task of it."""
        if self.stopped is not None or self._judged:
            return False
        can_send = bool(self.queue) and self._room() > 0 and self.budget.affords(self.price)
        return self.canary is not None or can_send or not self._open

    def _intend(self, work: Work) -> None:
        """Take a slot, reserve the units, and make up the intent; it is written before anything is sent."""
        if self._needs_a_canary():
            self.canary = work
        self.flying[work.external_id] = work
        self.submitting += 1
        now = self.ports.clock.time()
        self._move(work, decide.intend(work.row, price=self.price, now=now, run_id=self.run_id))

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
        name, began = work.external_id, self.ports.clock.monotonic()
        try:
            self.emit(work, "submitting")
            await self.ports.journal.save(work.row)
            work.posted = True
            outcome = await self.ports.service.create(self.kind.path, work.take.job.request, name)
        finally:
            self.submitting -= 1
            self.wake.set()
        if isinstance(outcome, Created):
            self._prove(Control(external_id=name, task_id=outcome.task.task_id))
        elif self.canary is work:
            self.canary = None  # the account may be heard by the next take
        if work.waits_for(name):  # else a first task of this id came to light meanwhile: that one is ours
            await self._do(work, outcome, began)

    async def _do(self, work: Work, outcome: CreateOutcome, began: float) -> None:
        match outcome:
            case Created(task=task):
                await self._created(work, task)
            case Refused():
                await self._refused(work, outcome, began)
            case NotSent(reason=reason):
                self._trouble(reason, began)
                await self.withdraw(work)
            case Unclear(reason=reason):
                self._trouble(reason, began)
                if decide.after_create(outcome) is Next.STOP_UNCLEAR:
                    self.halt(ServiceStop(f"The service answered {reason}.", hint=_LOOK_IT_UP))
                await self._settle(work, reason)
            case _:
                assert_never(outcome)

    async def _created(self, work: Work, task: Task) -> None:
        self.troubles = 0
        before = self.limit.current
        self.limit.accepted(self.in_flight - self.submitting)
        if self.limit.current != before:
            self._emit_limit("the service took what it was given")
        self.moved()
        await self.observe(work, task)

    def _prove(self, control: Control) -> None:
        """Take note of a task that was made. The run is heard by its first one."""
        self._taken = True
        self.account.claims[control.task_id] = control.external_id
        if not self._proving and self._group is not None:
            self._proving = True
            call = self._group.create_task(
                self.guarded(lambda: reconcile.prove(self, control)), name="positive control"
            )
            self.calls[call] = None
            call.add_done_callback(self._forget)

    async def _refused(self, work: Work, refused: Refused, began: float) -> None:
        match decide.after_create(refused):
            case Next.STOP:
                if (stop := stop_for(refused)) is not None:
                    self.halt(stop)
                await self.withdraw(work)
            case Next.NO_ROOM:
                await self._no_room(work, began)
            case Next.SEND_LATER:
                self._trouble(f"{refused.code}: {refused.message}", began)
                await self.withdraw(work)
            case Next.LOOK:
                self._doubted.add(_subject(work, refused))
                found = await reconcile.find_until_settled(self, work, wait_to_hear=False)
                if isinstance(found, Task):
                    self._doubted.discard(_subject(work, refused))
                    work.posted = work.resends > 0
                    await self.observe(work, found)
                elif work.row.stage is Stage.INTENT:
                    await self._doubt(work, refused)
            case _:
                self._doubted.add(_subject(work, refused))
                await self._doubt(work, refused)

    async def _doubt(self, work: Work, refused: Refused) -> None:
        """Free the slot of a take that was refused. Whether it has failed is decided with those that follow."""
        if work.resends:
            self._doubted.discard(_subject(work, refused))
            words = f"sent again after a lost answer, and refused with {refused.code}: {refused.message}"
            self._leave_unknown(work, words)
            return
        self.flying.pop(work.external_id, None)
        self._move(work, decide.withdrawn(work.row))
        await self.ports.journal.save(work.row)
        self.doubts.append((work, refused))
        self.wake.set()

    async def _no_room(self, work: Work, began: float) -> None:
        """Learn how much room there is, wait, and put the take back where it was."""
        now = self.ports.clock.monotonic()
        if self._is_a_lesson(began):
            others = self.in_flight - self.submitting - 1
            self.limit.refused(max(0, others), now)
            self._emit_limit("the account has no more room (1303)")
            self._hold(wait_s(self.limit.refusals, self.ports.rng.random()), "every slot of the account is taken")
        await self.withdraw(work)

    def _is_a_lesson(self, began: float) -> bool:
        """Whether a call that failed was made after the last lesson: calls that fail together are one."""
        if began < self._lesson_at:
            return False
        self._lesson_at = self.ports.clock.monotonic()
        return True

    def _trouble(self, reason: str, began: float) -> None:
        if self._is_a_lesson(began):
            self.troubles += 1
            self._hold(wait_s(self.troubles, self.ports.rng.random(), longest_s=_LONGEST_TROUBLE_S), reason)

    def see_others(self, others: int) -> None:
        """Learn how many tasks of others the account's list shows in flight."""
        if self.limit.saw(self.in_flight, others, self.ports.clock.monotonic()):
            self._emit_limit("others leave room")
            self.wake.set()

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
        self._move(work, decide.withdrawn(work.row))
        self._enqueue(work)
        await self.ports.journal.save(work.row)

    async def _refuse(self, work: Work, refused: Refused) -> None:
        self._move(work, decide.refused_for_good(work.row, refused, self.ports.clock.time()))
        await self.ports.journal.save(work.row)
        self.end(work, Status.FAILED, failure(work.row))

    # What is unclear

    async def _settle(self, work: Work, reason: str = "its answer was lost") -> None:
        """Look for the task of an unclear POST, and send again only what is known to have made nothing."""
        self.emit(work, "settling", reason)
        name = work.external_id
        found = await reconcile.find_until_settled(self, work)
        if not work.waits_for(name):
            return
        if isinstance(found, Task):
            await self.observe(work, found)
        elif work.stranger:
            await self._settle_stranger(work, found)
        elif decide.after_silence(found, resends=work.resends, hold_unclear=self.options.hold_unclear) is Next.UNKNOWN:
            self._leave_unknown(work, f"{reason}; {_WHY_UNKNOWN[found]}")
        else:
            work.resends += 1
            await self.withdraw(work)

    async def _settle_stranger(self, work: Work, silence: Silence) -> None:
        """Let a task go that is not asked for this time: what is known to have made nothing is reserved no more."""
        if silence is Silence.UNHEARD:
            self._let_go(work)
            return
        self.flying.pop(work.external_id, None)
        self._move(work, decide.withdrawn(work.row))
        self.wake.set()
        await self.ports.journal.save(work.row)

    def seconds_since_sending(self, work: Work) -> float:
        """Say how long ago a work's call was made."""
        return max(0.0, self.ports.clock.time() - (work.row.sent_at or self.ports.clock.time()))

    def _leave_unknown(self, work: Work, why: str) -> None:
        """Leave a take open: perhaps it is paid for. The journal still holds its intent; the next run looks again."""
        self._let_go(work)
        hint = f"Run again: {work.external_id} is looked for before anything is sent."
        self.end(work, Status.UNKNOWN, TakeError(code=None, message=f"Perhaps paid for: {why}.", hint=hint))

    def _let_go(self, work: Work) -> None:
        """Watch a task no longer. Its slot stays taken for as long as it may run."""
        self.flying.pop(work.external_id, None)
        sent = self.ports.clock.monotonic() - self.seconds_since_sending(work)
        self.held.hold(work.row.task_id or work.external_id, sent, self.knowledge.longest_s)
        self.wake.set()

    async def heard(self, control: Control) -> None:
        """Go on once it is known whether the account shows this run's first task by its external id.

        Silence from before a source was heard says nothing: what is to be sent is looked for again.
        """
        account, alone = self.account, self.canary is not None
        if account.query_heard and account.live:
            self._know(replace(self.knowledge, control=control))
        if not account.heard and not self.proven and not self.options.unproven:
            self.halt(reconcile.deaf(control.task_id))
        if alone and account.heard and not self.proven and self.stopped is None:
            await self._look_again(0.0 if account.live else surely_ended_s(self.knowledge.longest_s))
        self._judged = True
        self.canary = None
        self.wake.set()

    def _know(self, knowledge: Knowledge) -> None:
        if knowledge != self.knowledge:
            self.knowledge = knowledge
            self._learn_account(knowledge)

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
        now = self.ports.clock.time()
        decision = decide.after_task(before, task, kind=self.kind, run_id=self.run_id, now=now, price=self.price)
        after = decision.attempt
        if after.stage is before.stage and after.task_id == before.task_id:
            return False
        work.task = task
        if not work.posted:
            work.origin = Origin.RESUMED
        self._move(work, after)
        if decision.next is Next.WATCH:
            self._fly(work)
            return True
        self.flying.pop(work.external_id, None)
        self._learn(after, task)
        self.moved()
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

    def _learn(self, row: Attempt, task: Task) -> None:
        """Learn how long a task took, by the service's own clock, and what it cost, if it says so."""
        if row.stage is not Stage.SUCCEEDED:
            return
        before, longest, price = self.price, self.knowledge.longest_s, self.knowledge.price
        if row.created_at is not None and row.ended_at is not None:
            took_s = row.ended_at - row.created_at
            self.times.add(took_s)
            longest = max(longest or 0.0, took_s)
        if task.units is not None:
            price = max(task.units, price or NOTHING)
        self._know(replace(self.knowledge, price=price, longest_s=longest))
        if self.price > before:
            for work in self._works:
                if work.row.stage in {Stage.INTENT, Stage.CREATED}:  # what is reserved for it is no longer enough
                    self._move(work, replace(work.row, units=self.price))

    def _fly(self, work: Work) -> None:
        self.flying[work.external_id] = work
        passed = 0.0 if work.posted else self.ports.clock.time() - (work.row.created_at or self.ports.clock.time())
        work.flying_since = self.ports.clock.monotonic() - max(0.0, passed)
        self.airborne.set()
        self.emit(work, "in-flight", f"task {work.row.task_id}")

    def lost(self, work: Work) -> None:
        """End a take whose task the service named and no longer knows. It is not made anew unasked: it may be paid."""
        self._let_go(work)
        if work.stranger:
            return
        message = f"Task {work.row.task_id} is not known to the service any more; perhaps it was paid for."
        repair = "Ask the service's support with the task id, or raise the job's edition to pay for a new one."
        self.end(work, Status.UNKNOWN, TakeError(code=None, message=message, hint=repair))

    def _failed(self, work: Work) -> None:
        """Decide on a task that failed: another attempt where the reason may pass, or the end of the take."""
        self.failures_in_a_row += 1
        hopeless = self.failures_in_a_row > _MOST_FAILURES_IN_A_ROW
        work.error = failure(work.row)
        if decide.after_failure(work.row, retries=self.options.retries, hopeless=hopeless) is Next.FAIL:
            self.end(work, Status.FAILED, work.error)
            return
        self.emit(work, "retrying", work.row.message)
        work.next_attempt(self.run_id)
        if work.looked_for or self.proven or self.options.newborn or not self._open:
            self._enqueue(work)
        else:
            self._spawn(work, self._look_first)

    async def _look_first(self, work: Work) -> None:
        """Look for an attempt that another machine may have sent, before it is queued."""
        await reconcile.look_up(self, [work], seconds=self.options.settle_time_s)
        if work.row.stage is Stage.WITHDRAWN and work.status is None:
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


def _subject(work: Work, refused: Refused) -> str:
    """Name what a refusal may be about: the words, which a job's takes share, or the take."""
    return work.take.job.id if refused.code in ABOUT_WORDS else work.external_id


_LOOK_IT_UP = "Look up what the code means, mend that, and run again: what it may have made is looked for first."
_WHY_UNKNOWN = {
    Silence.ABSENT: "no trace of it on the service, and it is not sent again",
    Silence.UNHEARD: "the account shows no task by its external id, so that nothing can be known of it",
}
