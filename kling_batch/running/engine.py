"""Making the calls that the scheduler asks for, and telling it what came of them.

An intent is durable before its POST, and a task's id right after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

from kling_batch.errors import AccountStop, ServiceStop
from kling_batch.events import Warned
from kling_batch.model import Status, Task
from kling_batch.records.account import Control
from kling_batch.records.attempts import Stage
from kling_batch.running import decide
from kling_batch.running.decide import Next
from kling_batch.running.endings import failure
from kling_batch.running.ports import Ports
from kling_batch.running.reading import stop_for
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.scheduler import Call, Create, LookAgain, LookUp, Prove, Scheduler, Settle
from kling_batch.running.work import Work
from kling_batch.service.client import LONGEST_CALL_S
from kling_batch.service.outcomes import Created, NotSent, Refused, Unclear
from kling_batch.text import counted

_LEAST_WAIT_S = 0.001
"""A clock far from zero cannot tell a shorter while from none."""
_LONGEST_NAP_S = 30.0
"""How long the engine sleeps at most, so that a sleep of the machine is told from its own."""
_COLLECT_S = 10.0
"""How long a stop that the service is the reason of waits for what is in flight and for files on their way."""
_GRACE_S = 5.0
"""How long a stop waits for the answers of calls under way."""
_ONCE = "Waiting for the answers of {} that may be paid for: they are not to be had again."
_LOOK_IT_UP = "Look up what the code means, mend that, and run again: what it may have made is looked for first."


@dataclass(eq=False)
class Engine:
    """Works through a run on one event loop.

    Args:
        scheduler: Says what to do next.
        reconciler: Looks for tasks on the account.
        ports: The world.
        wake: Is set when the scheduler may have something to do.
    """

    scheduler: Scheduler
    reconciler: Reconciler
    ports: Ports
    wake: asyncio.Event
    _calls: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def conduct(self, group: asyncio.TaskGroup, *, controls: list[Control]) -> None:
        """Work until everything has ended or something stops the run. Never raises for what it met: see `stopped`.

        Args:
            group: Holds every call that is made. Those that are left at the end are cancelled.
            controls: Tasks that are known to exist, to hear the account by.
        """
        scheduler = self.scheduler
        preparing = group.create_task(self.guarded(partial(self.reconciler.prepare, controls)), name="look-up")
        await self.guarded(partial(self._send, group))
        preparing.cancel()
        await self._await_answers()
        if isinstance(scheduler.stopped, AccountStop | ServiceStop):
            halts = scheduler.halts
            await self._wait_until(lambda: scheduler.only_queued or scheduler.halts != halts, _COLLECT_S)
        for task in self._calls:
            task.cancel()

    async def _await_answers(self) -> None:
        """Wait for the answers of calls under way: what is heard need not be looked for, or could not be."""
        scheduler = self.scheduler
        once = len(scheduler.submitting) if scheduler.kind.synchronous else 0
        if once:
            self.ports.observe(Warned(at=self.ports.clock.time(), message=_ONCE.format(counted(once, "call"))))
        await self._wait_until(lambda: not scheduler.submitting, LONGEST_CALL_S if once else _GRACE_S)

    async def guarded(self, call: Callable[[], Awaitable[None]]) -> None:
        """Stop the run where a call meets what ends it: see `Scheduler.guarded`.

        The call is made here, so that a task that is cancelled before it began leaves no coroutine behind.
        """
        with self.scheduler.guarded():
            await call()

    async def _send(self, group: asyncio.TaskGroup) -> None:
        """Make the calls that the scheduler asks for, until nothing is left to do or the run is stopped."""
        scheduler = self.scheduler
        scheduler.begin()
        while scheduler.unfinished and scheduler.stopped is None:
            for call in scheduler.calls():
                task = group.create_task(self.guarded(partial(self._make, call)), name=repr(call)[:60])
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)
            await self._believe()
            scheduler.halt_if_stuck()
            if scheduler.unfinished and scheduler.stopped is None:
                await self._wait()

    async def _wait(self) -> None:
        """Sleep until something happens or is due. Patience is judged here, and only here."""
        clock, patience = self.ports.clock, self.scheduler.patience
        now = clock.monotonic()
        due = [now + min(_LONGEST_NAP_S, patience.left_s), *self.scheduler.next_at(now)]
        seconds = max(_LEAST_WAIT_S, min(due) - now)
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            pass
        self.wake.clear()
        self.scheduler.after_sleep(patience.waited(now, seconds))
        is_lost, calling = patience.left_s <= 0, self.scheduler.kind.synchronous and self.scheduler.submitting
        if calling or (is_lost and self.scheduler.only_delivering):
            patience.renew()  # a call that is the work has an end of its own, and so has bringing a sound home
        elif is_lost:
            self.scheduler.halt(self.scheduler.account.reader.nothing_moved())

    async def _wait_until(self, done: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    await self.wake.wait()
                    self.wake.clear()
        except TimeoutError:
            pass

    async def _make(self, call: Call) -> None:
        match call:
            case Create(work=work):
                with self.scheduler.about(work):
                    await self._submit(work)
            case Settle(work=work):
                with self.scheduler.about(work):
                    await self.reconciler.settle(work)
            case Prove(control=control):
                await self.reconciler.prove(control)
            case LookUp(work=work):
                with self.scheduler.about(work):
                    await self.reconciler.look_up([work], seconds=self.scheduler.options.settle_time_s)
                    self.scheduler.enqueue(work)
            case LookAgain():
                await self.reconciler.look_again(self.scheduler.options.settle_time_s)
            case _:
                assert_never(call)

    async def _submit(self, work: Work) -> None:
        """Send one take whose intent was made up, and do what its outcome asks for."""
        scheduler, name, began = self.scheduler, work.external_id, self.ports.clock.monotonic()
        try:
            scheduler.emit(work, "submitting")
            await self.ports.journal.save(work.row)
            work.posted = True
            outcome = await self.ports.service.create(scheduler.kind, work.take.job.request, name)
        finally:
            scheduler.submitting.discard(work)
            scheduler.wake()
        made = Control(external_id=name, task_id=outcome.task.task_id) if isinstance(outcome, Created) else None
        scheduler.submitted(work, made)
        if not work.waits_for(name):
            return  # a first task of this id came to light meanwhile: that one is ours
        match outcome:
            case Created(task=task):
                scheduler.taken()
                await self.reconciler.observe([(work, task)])
            case Refused():
                await self._refused(work, outcome, began)
            case NotSent(reason=reason):
                scheduler.trouble(reason, began)
                await self._withdraw(work)
            case Unclear(reason=reason):
                scheduler.trouble(reason, began)
                if decide.after_create(outcome) is Next.STOP_UNCLEAR:
                    scheduler.halt(ServiceStop(f"The service answered {reason}.", hint=_LOOK_IT_UP))
                await self.reconciler.settle(work, reason)
            case _:
                assert_never(outcome)

    async def _refused(self, work: Work, refused: Refused, began: float) -> None:
        scheduler = self.scheduler
        match decide.after_create(refused):
            case Next.STOP:
                if (stop := stop_for(refused)) is not None:
                    scheduler.halt(stop)
                await self._withdraw(work)
            case Next.NO_ROOM:
                scheduler.no_room(began)
                await self._withdraw(work)
            case Next.SEND_LATER:
                scheduler.trouble(f"{refused.code}: {refused.message}", began)
                await self._withdraw(work)
            case Next.LOOK:
                scheduler.doubts.suspect(work, refused)
                found = await self.reconciler.find_until_settled(work, wait_to_hear=False)
                if isinstance(found, Task):
                    scheduler.doubts.trust(work, refused)
                    work.posted = work.resends > 0
                    await self.reconciler.observe([(work, found)])
                elif work.row.stage is Stage.INTENT:
                    await self._doubt(work, refused)
            case _:
                scheduler.doubts.suspect(work, refused)
                await self._doubt(work, refused)

    async def _doubt(self, work: Work, refused: Refused) -> None:
        if work.resends:
            self.scheduler.doubts.trust(work, refused)
            words = f"sent again after a lost answer, and refused with {refused.code}: {refused.message}"
            self.scheduler.leave_unknown(work, words)
            return
        self.scheduler.doubt(work, refused)
        await self.ports.journal.save(work.row)

    async def _believe(self) -> None:
        """End the takes whose refusals are believed."""
        for work, refused in self.scheduler.believed().items():
            with self.scheduler.about(work):
                self.scheduler.refuse(work, refused)
                await self.ports.journal.save(work.row)
                self.scheduler.end(work, Status.FAILED, failure(work.row))

    async def _withdraw(self, work: Work) -> None:
        self.scheduler.withdraw(work)
        await self.ports.journal.save(work.row)
