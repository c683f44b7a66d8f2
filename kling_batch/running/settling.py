"""Settling a POST whose outcome is unclear: perhaps it made a task, and perhaps it did not.

It keeps its slot and its reservation until the account has been looked through for it, at least once after the settle
time has passed; only then is it sent again, under the same external id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_batch.model import Status, TakeError, Task
from kling_batch.running.work import Work

if TYPE_CHECKING:
    from kling_batch.running.engine import Engine

_MOST_RESENDS = 3
_LONGEST_LOOK_GAP_S = 4.0


class Settling:
    """Looks for what may have been made, and decides what its absence means."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def settle(self, work: Work, reason: str = "its answer was lost") -> None:
        """Look for the task of an unclear POST until the settle time has passed without a trace, then send again.

        A look that fails proves nothing: there must be one that answers after the settle time. That is counted from
        now and not from the sending: an answer may be lost a minute after the call, and the task be made just then.
        """
        engine = self._engine
        engine.emit(work, "settling", reason)
        name = work.external_id
        task = await self._look_until_settled(work)
        if not work.waits_for(name):
            return
        if task is not None:
            await engine.observe(work, task)
        else:
            await self._send_again(work, reason)

    async def _look_until_settled(self, work: Work) -> Task | None:
        """Look for a work's task until it is found, or a look after the settle time has found nothing anywhere."""
        engine = self._engine
        name = work.external_id
        clock, settle_time_s = engine.ports.clock, engine.options.settle_time_s
        due = clock.monotonic() + settle_time_s
        gap = min(1.0, max(0.05, settle_time_s / 8))
        while work.waits_for(name):
            began = clock.monotonic()
            task = await engine.account.find(name)
            if task is None and began >= due:
                scan = await engine.account.scan_since(began)
                task = scan.tasks.get(name)
            if task is not None or began >= due:
                return task
            await clock.sleep(max(0.0, min(gap, due - clock.monotonic())))
            gap = min(gap * 2, _LONGEST_LOOK_GAP_S)
        return None

    async def exists(self, work: Work) -> bool:
        """Look whether a refusal means that the external id is taken already: then its task is ours.

        A task may become visible late, so that only silence for the settle time means that the refusal is meant.
        """
        engine = self._engine
        name = work.external_id
        task = await self._look_until_settled(work)
        if not work.waits_for(name):
            return True
        if task is None:
            return False
        work.posted = work.resends > 0
        await engine.observe(work, task)
        return True

    def leave_unknown(self, work: Work, why: str) -> None:
        """Leave a take open: perhaps it is paid for. The journal still holds its intent; the next run looks again."""
        self._engine.flying.pop(work.external_id, None)
        hint = f"Run again: {work.external_id} is looked for before anything is sent."
        self._engine.end(work, Status.UNKNOWN, TakeError(code=None, message=f"Perhaps paid for: {why}.", hint=hint))

    async def _send_again(self, work: Work, reason: str) -> None:
        """Put a take without a trace back into the queue: it holds no slot, and is sent when there is room."""
        engine = self._engine
        if work.stranger:
            engine.flying.pop(work.external_id, None)
            engine.wake.set()
        elif engine.options.hold_unclear:
            self.leave_unknown(work, f"{reason}; no trace of it on the service; held as asked for")
        elif work.resends >= _MOST_RESENDS:
            self.leave_unknown(work, f"{reason}; sent {work.resends + 1} times without a trace on the service")
        else:
            work.resends += 1
            await engine.withdraw(work)
