"""What is sent, and when: decided in memory, without waiting for anything.

The scheduler holds the state of a run: which takes wait, which are in flight, how many slots and units are taken, and
what keeps the rest from being sent. Whoever acts asks it for the calls to make, and tells it what came of each. What an
outcome means for an attempt is decided in `decide`.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

from kling_batch.catalog import Kind
from kling_batch.clock import Clock
from kling_batch.errors import KlingBatchError
from kling_batch.events import LimitChanged, Observer, TakeChanged, TakeEnded, Waiting
from kling_batch.model import NOTHING, LimitPoint, Origin, Status, TakeError, Task
from kling_batch.planning.spending import Budget
from kling_batch.records.account import Control, Knowledge
from kling_batch.records.attempts import Attempt, Stage
from kling_batch.running import decide
from kling_batch.running.account import Account
from kling_batch.running.decide import Next
from kling_batch.running.doubts import Doubts
from kling_batch.running.endings import (
    budget_used_up,
    bug,
    failure,
    first_few_refused,
    slots_held,
    stopped_by_a_bug,
)
from kling_batch.running.limits import MOST_SUBMITTING, Backoff, Limit, wait_s
from kling_batch.running.options import Options
from kling_batch.running.reading import Patience
from kling_batch.running.slots import HeldSlots
from kling_batch.running.work import Work
from kling_batch.service.outcomes import Refused

_LONGEST_TROUBLE_S = 5.0
"""The longest wait after calls that failed: a service that is well again is noticed soon, by few calls."""
_MOST_FAILURES_IN_A_ROW = 50
"""Failed tasks in a row, with none that succeeded, after which no further attempts are made."""
MOST_DURATIONS = 200
"""Generation times that are remembered, the latest: the service may have become another since."""

_log = logging.getLogger("kling_batch")
_log.addHandler(logging.NullHandler())  # without one, Python prints tracebacks to the terminal


@dataclass(frozen=True, kw_only=True, slots=True)
class Create:
    """Send a take, whose intent has been made up."""

    work: Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
    """Find out whether a call made a task, of which nobody had the answer."""

    work: Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Prove:
    """See by its external id the first task that this run made."""

    control: Control


@dataclass(frozen=True, kw_only=True, slots=True)
class LookUp:
    """Look for a take on the account before it is queued: another machine may have sent it."""

    work: Work


@dataclass(frozen=True, kw_only=True, slots=True)
class LookAgain:
    """Look for everything that is to be sent, and then go on sending."""


Call = Create | Settle | Prove | LookUp | LookAgain


@dataclass(kw_only=True, eq=False, repr=False)
class Scheduler:
    """The state of a run. Every method returns at once.

    Args:
        works: The takes to submit or to go on with.
        kind: The kind of their tasks.
        limit: How many slots of the kind's pool may be taken; it learns.
        held: Slots of the pool that are taken by tasks that nobody can see, and that may run.
        account: Knows whether the account has been heard.
        options: How to run.
        budget: What may be spent.
        knowledge: What was seen of the account: its highest price, its longest generation.
        least_price: What a task may cost, in units, by the list and by what is known of this set.
        durations: The latest generation times, in seconds, the latest last.
        learn_account: Keeps what this run has seen of the account.
        proven: Whether this journal is known to be the one that sent last.
        run_id: The run in the journal.
        deliver: Is called with a take whose task has succeeded.
        clock: Tells the time; nobody sleeps here.
        jitter: Draws a number between 0 and 1.
        observe: Is told what changes.
        wake: Is called when there may be something to do.
    """

    works: list[Work]
    kind: Kind
    limit: Limit
    held: HeldSlots
    account: Account
    options: Options
    budget: Budget
    knowledge: Knowledge
    least_price: Decimal
    durations: deque[float]
    learn_account: Callable[[Knowledge], None]
    proven: bool
    run_id: int
    deliver: Callable[[Work], None]
    clock: Clock
    jitter: Callable[[], float]
    observe: Observer
    wake: Callable[[], None]

    limits: list[LimitPoint] = field(default_factory=list, init=False)
    """The limit's history in this run."""
    in_flight: dict[str, Work] = field(default_factory=dict, init=False)
    """Takes whose call is under way, unclear, or has made a task that has not ended, by external id."""
    submitting: set[Work] = field(default_factory=set, init=False)
    """Takes whose call is under way."""
    canary: Work | None = field(default=None, init=False)
    """The take that was sent alone, for a source to be heard by it."""
    doubts: Doubts = field(default_factory=Doubts, init=False)
    backoff: Backoff = field(default_factory=Backoff, init=False)
    sending: bool = field(default=False, init=False)
    """Whether takes may be sent: not before the account was looked through."""
    stopped: KlingBatchError | None = field(default=None, init=False)
    halts: int = field(default=0, init=False)
    _queue: list[tuple[int, Work]] = field(default_factory=list, init=False)
    _due: list[Call] = field(default_factory=list, init=False)
    _dearer: set[Work] = field(default_factory=set, init=False)
    _failures_in_a_row: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.unfinished = sum(1 for work in self.works if not work.orphan)
        self.patience = Patience(self.clock, self.account.reader.patience_s)
        # Whether the first task is looked for by its external id, and whether it is known if the account shows it.
        self._proving = self._judged = self.options.empty_account or self.kind.external_id is None

    def __repr__(self) -> str:
        return f"Scheduler({len(self._queue)} queued, {len(self.in_flight)} in flight, {self.held!r}, {self.limit!r})"

    # What is sent next

    def begin(self) -> None:
        """Go on with what earlier runs began."""
        self._note_limit("as asked for" if self.options.cap is not None else "the beginning of auto")
        for work in self.works:
            with self.about(work):
                self._begin(work)

    def _begin(self, work: Work) -> None:
        self._reserve(work)
        match work.row.stage:
            case Stage.INTENT:
                self.in_flight[work.external_id] = work
                self._due.append(Settle(work=work))
            case Stage.CREATED:
                self._watch(work)
            case Stage.SUCCEEDED | Stage.DELIVERED:
                self.deliver(work)
            case _:
                pass

    def calls(self) -> list[Call]:
        """Give the calls to make now, as many as slots, budget and the service's wishes allow. They count as made."""
        calls, self._due = self._due, []
        now = self.clock.monotonic()
        if not self.sending or self.stopped is not None or now < self.backoff.until:
            return calls
        self.held.release(now)
        full = self.limit.room(self.slots_taken) < self.kind.slots
        if self._queue and self.limit.grow(self.limit.current if full else self.slots_taken, now):
            self._note_limit("growth after a cooldown")
        while self._queue and self._room() and self.budget.affords(self.price):
            _, work = heapq.heappop(self._queue)
            with self.about(work):
                if work.row.stage is Stage.WITHDRAWN:  # else its task came to light while it waited
                    self._intend(work)
                    calls.append(Create(work=work))
        return calls

    def next_at(self, now: float) -> list[float]:
        """Give the moments after `now` at which more may be sent."""
        if not self._queue:
            return []
        moments = (self.backoff.until, self.limit.grows_at(), self.held.free_at())
        return [at for at in moments if at is not None and at > now]

    def waiting(self) -> list[Work]:
        """Give the takes that are to be sent, and that no refusal is doubted of."""
        ready = (work for work in self.works if work.row.stage is Stage.WITHDRAWN and work.status is None)
        return [work for work in ready if work not in self.doubts.refused and not work.orphan]

    def start_sending(self) -> None:
        """Queue what is to be sent."""
        self.sending = True
        self._queue = [(work.order, work) for work in self.waiting()]
        heapq.heapify(self._queue)
        self.wake()

    def stop_sending(self) -> None:
        """Send nothing until `start_sending`."""
        self.sending = False
        self._queue = []

    def after_sleep(self, slept_s: float) -> None:
        """Look for what is queued again where the machine slept for long: another may have sent it meanwhile."""
        if slept_s > self.options.settle_time_s and self.sending and self._queue and not self.options.empty_account:
            self.stop_sending()
            self._due.append(LookAgain())

    @property
    def price(self) -> Decimal:
        """The highest price known of a task: by the list, by this set, or by what this account was charged."""
        return max(self.least_price, self.knowledge.price or NOTHING)

    @property
    def slots_taken(self) -> int:
        """How many slots are taken, or may be."""
        return self.kind.slots * len(self.in_flight) + len(self.held)

    def _room(self) -> int:
        """Say how many more may be sent now."""
        room = self.limit.room(self.slots_taken) // self.kind.slots
        room = min(room if self.slots_taken else max(1, room), MOST_SUBMITTING - len(self.submitting))
        if self.doubts.are_enough:
            return 0
        price_unseen = self.budget.left is not None and self.knowledge.price is None
        if price_unseen and self.slots_taken:
            return 0
        if self._needs_a_canary():
            return min(room, 0 if self.canary else 1)
        return min(room, 1) if price_unseen else room

    def _needs_a_canary(self) -> bool:
        return not (self.account.live or self._judged)

    def may_still_hear(self) -> bool:
        """Whether a source may yet be heard in this run, by a task of it."""
        if self.stopped is not None or self._judged:
            return False
        can_send = bool(self._queue) and self._room() > 0 and self.budget.affords(self.price)
        return self.canary is not None or can_send or not self.sending

    def _intend(self, work: Work) -> None:
        """Take a slot, reserve the units, and make up the intent; it is written before anything is sent."""
        if self._needs_a_canary():
            self.canary = work
        self.in_flight[work.external_id] = work
        now = self.clock.time()
        rights_by = self.options.voice_rights if self.kind.rights else None
        intent = decide.intend(work.row, price=self.price, now=now, run_id=self.run_id, rights_by=rights_by)
        self._move(work, intent)
        self.submitting.add(work)

    # Stopping

    def halt(self, error: KlingBatchError) -> None:
        """Stop sending, for good. The first reason counts."""
        self.halts += 1
        if self.stopped is None:
            self.stopped = error
        self.wake()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Stop the run where something meets what ends it, such as a full disk, or a bug in what concerns all takes."""
        try:
            yield
        except KlingBatchError as error:
            self.halt(error)
        except Exception as error:  # noqa: BLE001 - it ends the run, which still writes its reports
            _log.exception("The run met a bug")
            self.halt(stopped_by_a_bug(error))

    @contextmanager
    def about(self, work: Work) -> Iterator[None]:
        """Keep a bug that the work on one take meets with that take: it ends, and the run goes on.

        Its attempt stays as the journal has it, for the next run to go on with, and what may run keeps its slot.
        """
        try:
            yield
        except KlingBatchError:
            raise
        except Exception as error:  # noqa: BLE001 - it ends this take, and not the run with all the others
            _log.exception("The work on %s met a bug", work.take.key)
            self._end_by(error, work)

    def _end_by(self, error: Exception, work: Work) -> None:
        if work.status is not None:
            return
        if work.row.stage in {Stage.INTENT, Stage.CREATED}:
            self.let_go(work)
        self._release(work)
        self.submitting.discard(work)
        if self.canary is work:
            self.canary = None
        self._queue = [each for each in self._queue if each[1] is not work]
        heapq.heapify(self._queue)
        self.doubts.refused.pop(work, None)
        if not work.orphan:
            self.end(work, Status.FAILED, bug(work.row, error))

    def halt_if_stuck(self) -> None:
        """Stop where takes wait, and nothing is under way that could change what keeps them from being sent."""
        waiting = len(self._queue) + len(self.doubts.refused)
        if not (self.sending and self._queue) or self.canary or self.in_flight or self.unfinished != waiting:
            return
        if not self.budget.affords(self.price):
            self.halt(budget_used_up(self.budget, self.price))
        elif (held_s := self._held_for_s()) > self.account.reader.patience_s():
            self.halt(slots_held(len(self.held), held_s))

    def _held_for_s(self) -> float:
        """Say for how long held slots alone keep anything from being sent; 0 where they do not."""
        free_at = self.held.free_at()
        return 0.0 if free_at is None or self._room() else free_at - self.clock.monotonic()

    @property
    def only_queued(self) -> bool:
        """Whether nothing is left but takes that were not sent."""
        return self.unfinished <= len(self._queue) + len(self.doubts.refused)

    @property
    def only_delivering(self) -> bool:
        """Whether nothing is left but sounds that are made, on their way to the disk."""
        left = (work for work in self.works if work.status is None and not work.orphan)
        return all(work.row.stage in {Stage.SUCCEEDED, Stage.DELIVERED} for work in left)

    def moved(self) -> None:
        """Note that the work went on, for patience."""
        self.patience.renew()
        self.wake()

    # What came of a call

    def submitted(self, work: Work, made: Control | None) -> None:
        """Note that a call to create is over. `made` names the task: the run is heard by its first one."""
        if made is None:
            if self.canary is work:
                self.canary = None  # the account may be heard by the next take
            return
        self.doubts.taken = True
        self.account.claims[made.task_id] = made.external_id
        if not self._proving:
            self._proving = True
            self._due.append(Prove(control=made))
        self.wake()

    def taken(self) -> None:
        """Learn from a task that was made how much room there is."""
        self.backoff.troubles = 0
        before = self.limit.current
        self.limit.accepted(self.slots_taken - len(self.submitting) * self.kind.slots)
        if self.limit.current != before:
            self._note_limit("the service took what it was given")
        self.moved()

    def withdraw(self, work: Work) -> None:
        """Take an intent back: the POST is known to have made nothing. Its take goes first when there is room again."""
        self._release(work)
        work.posted = False
        self._move(work, decide.withdrawn(work.row))
        self.enqueue(work)

    def resend(self, work: Work) -> None:
        """Queue a take again whose call is known to have left no trace."""
        work.resends += 1
        self.withdraw(work)

    def no_room(self, began: float) -> None:
        """Learn from a call, begun at that moment, that was refused for want of room."""
        if self.backoff.is_lesson(began, self.clock.monotonic()):
            others = self.slots_taken - (len(self.submitting) + 1) * self.kind.slots
            self.limit.refused(max(0, others), self.clock.monotonic())
            self._note_limit("the account has no more room (1303)")
            self._back_off(wait_s(self.limit.refusals, self.jitter()), "every slot of the account is taken")

    def trouble(self, reason: str, began: float) -> None:
        """Wait a moment with all calls after one, begun at that moment, that failed."""
        if self.backoff.is_lesson(began, self.clock.monotonic()):
            self.backoff.troubles += 1
            self.account.reader.tell(reason, self.patience.left_s)
            self._back_off(wait_s(self.backoff.troubles, self.jitter(), longest_s=_LONGEST_TROUBLE_S), reason)

    def _back_off(self, seconds: float, reason: str) -> None:
        self.backoff.until = max(self.backoff.until, self.clock.monotonic() + seconds)
        self.observe(Waiting(at=self.clock.time(), seconds=seconds, reason=reason))

    def see_others(self, others: int) -> None:
        """Learn how many tasks of others the account's list shows in flight."""
        if self.limit.saw(self.slots_taken, others * self.kind.slots, self.clock.monotonic()):
            self._note_limit("others leave room")
            self.wake()

    # Refusals that may be about the account

    def doubt(self, work: Work, refused: Refused) -> None:
        """Free the slot of a take that was refused. Whether it has failed is decided with those that follow."""
        self._release(work)
        self._move(work, decide.withdrawn(work.row))
        self.doubts.refused[work] = refused
        self.wake()

    def believed(self) -> dict[Work, Refused]:
        """Give the refusals that are now believed; none where the first few takes were all refused alike."""
        if not self.doubts.refused or self.submitting:
            return {}
        if (common := self.doubts.common()) is not None:
            self.halt(first_few_refused(common, len(self.doubts.refused)))
            return {}
        return self.doubts.believed(self.unfinished)

    def refuse(self, work: Work, refused: Refused) -> None:
        """Note that a take was refused for good, in this run. It is ended when that is written."""
        self._move(work, decide.refused_for_good(work.row, refused, self.clock.time()))

    # What is unclear

    def seconds_since_sending(self, work: Work) -> float:
        """Say how long ago a take's call was made."""
        return max(0.0, self.clock.time() - (work.row.sent_at or self.clock.time()))

    def leave_unknown(self, work: Work, why: str) -> None:
        """Leave a take open: perhaps it is paid for. The journal still holds its intent; the next run looks again."""
        self.let_go(work)
        work.unsettled = why
        self.end(work, Status.UNKNOWN)

    def let_go(self, work: Work) -> None:
        """Watch a task no longer. Its slot stays taken for as long as it may run."""
        self._release(work)
        sent = self.clock.monotonic() - self.seconds_since_sending(work)
        self.held.hold(
            work.name_in_flight,
            sent,
            self.knowledge.longest_s,
            slots=self.kind.slots,
            answers_at_once=self.kind.synchronous,
        )
        self.wake()

    def lost(self, work: Work) -> None:
        """End a take whose task the service named and no longer knows. It is not made anew unasked: it may be paid."""
        self.let_go(work)
        if work.orphan:
            return
        message = f"Task {work.row.task_id} is not known to the service any more; perhaps it was paid for."
        repair = "Ask the service's support with the task id, or raise the job's edition to pay for a new one."
        self.end(work, Status.UNKNOWN, TakeError(code=None, message=message, hint=repair))

    def judged(self) -> None:
        """Note that it is known whether the account shows this run's first task by its external id."""
        self._judged = True
        self.canary = None
        self.wake()

    def know(self, knowledge: Knowledge) -> None:
        """Keep what was seen of the account."""
        if knowledge != self.knowledge:
            self.knowledge = knowledge
            self.learn_account(knowledge)

    # What the service says of a task

    def take_in(self, work: Work, task: Task) -> bool:
        """Move a take on by what the service says of its task. False where that is nothing new."""
        if work.status is not None:
            return False
        before = work.row
        now = self.clock.time()
        decision = decide.after_task(before, task, kind=self.kind, run_id=self.run_id, now=now, price=self.price)
        after = decision.attempt
        if after.stage is before.stage and after.task_id == before.task_id:
            return False
        if before.stage in {Stage.SUCCEEDED, Stage.DELIVERED} and decision.next is Next.WATCH:
            return False  # an answer that was under way when it was seen to end
        work.task = task
        if not work.posted:
            work.origin = Origin.RESUMED
        self._move(work, after)
        if decision.next is Next.WATCH:
            self._watch(work)
            return True
        self._release(work)
        self._learn(after, task)
        self.moved()
        return True

    def go_on_from(self, work: Work, row: Attempt) -> None:
        """Do what a task's end asks for, once it is written. While it was, the take may have moved on from `row`."""
        if work.orphan or work.status is not None:
            return
        if row.stage is Stage.SUCCEEDED:
            self.emit(work, "generated")
            self._failures_in_a_row = 0
            self.deliver(work)
        elif row.stage is Stage.FAILED:
            self._failed(work)

    def _learn(self, row: Attempt, task: Task) -> None:
        """Learn how long a task took, by the service's own clock, and what it cost, if it says so."""
        if row.stage is not Stage.SUCCEEDED:
            return
        before, longest, price = self.price, self.knowledge.longest_s, self.knowledge.price
        if (took_s := row.generation_s) is not None:
            self.durations.append(took_s)
            longest = max(longest or 0.0, took_s)
        if task.units is not None:
            price = max(task.units, price or NOTHING)
        self.know(replace(self.knowledge, price=price, longest_s=longest))
        if self.price > before:
            for work in self.works:
                self._reserve(work)

    def _reserve(self, work: Work) -> None:
        """Reserve for what may be paid the highest price that is known by now."""
        if work.row.is_own and work.row.stage in {Stage.INTENT, Stage.CREATED} and work.row.units < self.price:
            self._move(work, replace(work.row, units=self.price))
            self._dearer.add(work)

    def dearer(self) -> list[Work]:
        """Give the takes that are still in flight or unclear, and for which more is reserved than the journal says."""
        return [work for work in self.works if work in self._dearer and work.row.stage in {Stage.INTENT, Stage.CREATED}]

    def _watch(self, work: Work) -> None:
        self.in_flight[work.external_id] = work
        passed = 0.0 if work.posted else self.clock.time() - (work.row.created_at or self.clock.time())
        work.in_flight_since = self.clock.monotonic() - max(0.0, passed)
        self.wake()
        self.emit(work, "in-flight", f"task {work.row.task_id}")

    def _failed(self, work: Work) -> None:
        """Decide on a task that failed: another attempt where the reason may pass, or the end of the take."""
        self._failures_in_a_row += 1
        hopeless = self._failures_in_a_row > _MOST_FAILURES_IN_A_ROW
        work.error = failure(work.row)
        if decide.after_failure(work.row, retries=self.options.retries, hopeless=hopeless) is Next.FAIL:
            self.end(work, Status.FAILED, work.error)
            return
        self.emit(work, "retrying", work.row.message)
        work.next_attempt(self.run_id)
        self._send_anew(work)

    def roll_again(self, work: Work, why: str) -> None:
        """Have another sound made in place of one that was rejected."""
        self.emit(work, "rolling again", why)
        work.next_roll(self.run_id)
        self._send_anew(work)
        self.moved()

    def _send_anew(self, work: Work) -> None:
        if work.looked_for or self.proven or self.options.empty_account or not self.sending:
            self.enqueue(work)
        else:  # another machine may have sent this attempt
            self._due.append(LookUp(work=work))
            self.wake()

    def enqueue(self, work: Work) -> None:
        """Queue a take in its place, unless it was found. While the account is looked through, there is no queue."""
        if self.sending and not work.orphan and work.row.stage is Stage.WITHDRAWN and work.status is None:
            heapq.heappush(self._queue, (work.order, work))
        self.wake()

    def end(self, work: Work, status: Status, error: TakeError | None = None) -> None:
        """Give a take its final status in this run. What the service said of its task is let go."""
        if work.status is not None:
            return  # a bug ended it, while something else was at work on it
        work.task = None
        work.status = status
        work.error = error
        self.unfinished -= 1
        self.moved()
        detail = work.reason.message if work.reason else ""
        units = work.row.units if work.posted else NOTHING
        self.observe(TakeEnded(at=self.clock.time(), take=work.take.key, status=status, units=units, detail=detail))

    # Small things

    def _release(self, work: Work) -> None:
        self.in_flight.pop(work.external_id, None)

    def _move(self, work: Work, row: Attempt) -> None:
        """Move an attempt on, and the budget with it."""
        self.budget.recount(work.row, row)
        work.row = row

    def emit(self, work: Work, state: str, detail: str = "") -> None:
        """Tell the observer that a take moved on."""
        self.observe(
            TakeChanged(
                at=self.clock.time(),
                take=work.take.key,
                external_id=work.external_id,
                state=state,
                detail=detail,
            )
        )

    def _note_limit(self, reason: str) -> None:
        point = LimitPoint(at=self.clock.time(), limit=self.limit.current, reason=reason)
        self.limits.append(point)
        self.observe(LimitChanged(at=point.at, limit=point.limit, reason=reason))
