"""Seeing tasks end: one list request observes all of them; single queries only for what the list does not show.

The list's order is not documented. Its first page is read, as long as the tasks in flight are many; what it does not
show is asked for one by one, a few a turn, so that a list in any order costs requests but never the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from kling_batch.model import Task
from kling_batch.records.attempts import Stage
from kling_batch.running.limits import wait_s
from kling_batch.running.ports import Ports
from kling_batch.running.reading import read_all, stop_for
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.work import Work
from kling_batch.service.client import LONGEST_PAGE
from kling_batch.service.outcomes import Absent, Found, Page, ReadFailed, Refused

_SHARE = 0.08
"""The gap between two polls, as a share of the median generation time that was seen. In simulations of 100 takes on 10
slots it gives a span of 1.04 times the shortest possible at 2.5 requests a take; 0.05 gives 1.03 at 3.3."""
_FEW = 4
"""Single queries a turn that are always allowed; above it a quarter of what the list does not show."""
_AT_ONCE = 8
_SHORTEST_PAGE = 30
_ROWS_A_TASK = 4
"""Rows of a page for each task in flight: newest first, few tasks are overtaken by so many others."""


@dataclass(eq=False)
class Watcher:
    """Polls while anything is in flight, never closer together than the poll interval.

    Args:
        scheduler: Knows what is in flight.
        reconciler: Takes in what is seen.
        ports: The world.
        changed: Is set when something may have come in flight.
    """

    scheduler: Scheduler
    reconciler: Reconciler
    ports: Ports
    changed: asyncio.Event
    _least_size: int = field(default=_SHORTEST_PAGE, init=False)
    _failures: int = field(default=0, init=False)
    _list_refused: bool = field(default=False, init=False)
    _absent_since: dict[str, float] = field(default_factory=dict, init=False)

    async def watch(self) -> None:
        """Poll until cancelled. An account that has to be mended stops the run."""
        while True:
            while not self._watched():
                self.changed.clear()
                await self.changed.wait()
            await self.ports.clock.sleep(self._pause_s())
            await self._turn()

    def _pause_s(self) -> float:
        """Say in how many seconds to look next: after a failure later and later."""
        least_s, durations = self.scheduler.options.poll_interval_s, self.scheduler.durations
        if self._failures:
            return max(least_s, wait_s(self._failures, self.ports.rng.random()))
        oldest = min(work.in_flight_since for work in self._watched())
        typical_s = median(durations) if durations else self.ports.clock.monotonic() - oldest
        return max(least_s, _SHARE * typical_s)

    def _watched(self) -> list[Work]:
        return [work for work in self.scheduler.in_flight.values() if work.row.stage is Stage.CREATED]

    async def _turn(self) -> None:
        """Observe every task in flight once, as far as the list shows it."""
        watched = self._watched()
        size = min(LONGEST_PAGE, max(self._least_size, _ROWS_A_TASK * len(watched)))
        missing, full = await self._read(size, watched)
        if full and len(missing) > _FEW and size < LONGEST_PAGE:
            still_missing, _ = await self._read(LONGEST_PAGE, missing)
            if len(still_missing) < len(missing):
                self._least_size = LONGEST_PAGE
            missing = still_missing
        await self._ask(missing)

    async def _read(self, size: int, watched: Sequence[Work]) -> tuple[list[Work], bool]:
        """Read the first page and take in what it shows. Gives what it does not show, and whether it was full."""
        if self._list_refused:
            return list(watched), False
        outcome = await self.ports.service.page(self.scheduler.kind, 1, size)
        self._list_refused = isinstance(outcome, Refused)
        if not isinstance(outcome, Page):
            self._failed(outcome)
            return list(watched), False  # a few are asked for singly: the list may fail alone
        self._failures = 0
        in_flight = self.scheduler.in_flight
        shown = {task.task_id: task for task in outcome.tasks}
        seen = [(work, shown[work.row.task_id or ""]) for work in watched if (work.row.task_id or "") in shown]
        unclear = [work for work in in_flight.values() if work.row.stage is Stage.INTENT]
        if unclear:
            by_name = {task.external_id: task for task in outcome.tasks if task.external_id is not None}
            seen += [(work, by_name[work.external_id]) for work in unclear if work.external_id in by_name]
        self._see_others(outcome)
        for work, _ in seen:
            self._absent_since.pop(work.external_id, None)
        await self.reconciler.observe(seen)
        missing = [work for work in watched if (work.row.task_id or "") not in shown]
        return missing, outcome.rows == size

    def _see_others(self, page: Page) -> None:
        """Count the tasks in flight that are not ours: the account may have other users."""
        in_flight = self.scheduler.in_flight
        ours = {work.row.task_id for work in in_flight.values()}
        others = sum(
            1
            for task in page.tasks
            if not task.status.ended and task.task_id not in ours and task.external_id not in in_flight
        )
        self.scheduler.see_others(others)

    async def _ask(self, missing: Sequence[Work]) -> None:
        """Query single tasks: the few that the list does not show, or a part of the many, the longest unseen first."""
        some = max(_FEW, len(missing) // 4)
        asked = [work for work in missing if work.row.stage is Stage.CREATED][:some]
        for begin in range(0, len(asked), _AT_ONCE):
            some_of_them = asked[begin : begin + _AT_ONCE]
            await read_all((f"query {work.take.key}", self._ask_for(work)) for work in some_of_them)
        in_flight = self.scheduler.in_flight
        for work in asked:
            # Whoever was asked for goes to the end, so that everybody's turn comes.
            if in_flight.get(work.external_id) is work:
                in_flight[work.external_id] = in_flight.pop(work.external_id)

    async def _ask_for(self, work: Work) -> None:
        with self.scheduler.about(work):
            await self._query(work)

    async def _query(self, work: Work) -> None:
        task_id = work.row.task_id
        outcome = await self.ports.service.query(self.scheduler.kind, task_id or "")
        if work.row.task_id != task_id:
            return  # it was seen to fail meanwhile, and is at its next attempt
        match outcome:
            case Found(task=task):
                self._failures = 0
                await self._observe(work, task)
            case Absent():
                self._absent(work)
            case _:
                self._failed(outcome)

    def _absent(self, work: Work) -> None:
        """A task that the service named and does not know: late, at first; then lost, and never made anew unasked."""
        now, options = self.ports.clock.monotonic(), self.scheduler.options
        since = self._absent_since.setdefault(work.external_id, now)
        if now - since >= max(options.settle_time_s, options.poll_interval_s):
            self.scheduler.lost(work)

    async def _observe(self, work: Work, task: Task) -> None:
        self._absent_since.pop(work.external_id, None)
        await self.reconciler.observe([(work, task)])

    def _failed(self, outcome: Refused | ReadFailed) -> None:
        if isinstance(outcome, Refused) and (stop := stop_for(outcome)) is not None:
            self.scheduler.halt(stop)
        if isinstance(outcome, ReadFailed):
            self.scheduler.account.reader.tell(outcome.reason, self.scheduler.patience.left_s)
        self._failures += 1
