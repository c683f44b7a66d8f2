"""Seeing tasks end: one list request observes all of them; single queries only for what the list does not show.

The list's order is not documented. Its first page is read, as long as the tasks in flight are many; what it does not
show is asked for one by one, a few a turn, so that a list in any order costs requests but never the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
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
_BACKSTOP_S = 20.0
"""The gap between two polls where callbacks are relied on."""
_LATE = 0.02
"""How much longer than any before it a task may take until it is asked for, where callbacks are relied on."""
_LATER = 0.4
"""How much older it is when it is asked for again."""
_GRACE_S = 1.0
"""How long after a poll has found an end a callback may still tell of it."""
_FIRST_PROOF = 20
"""Ends in a row that must be told of before callbacks are relied on again."""
_LEAST_WAIT_S = 0.001


@dataclass(eq=False)
class Reliance:
    """Whether callbacks can be relied on: from the first that comes until an end is found that none told of.

    From then on that takes many told ends in a row, and twice as many the next time. `told` are tasks of which one said
    that they have ended, `found` those that a poll found to have ended, and when.
    """

    relied: bool = False
    told: set[str] = field(default_factory=set)
    found: dict[str, float] = field(default_factory=dict)
    _needed: int = 0
    _in_a_row: int = 0

    @property
    def is_doubted(self) -> bool:
        """Whether callbacks come, and not all of them."""
        return self._needed > 0 and not self.relied

    def came(self) -> None:
        """Note that a callback came of a task in flight."""
        self.relied = self.relied or not self._needed

    def told_in_time(self) -> None:
        """Note an end that a callback told of before a poll found it."""
        self._in_a_row += 1
        self.relied = self.relied or self._in_a_row >= self._needed

    def judge(self, now: float) -> None:
        """Note the ends that a poll found, and that no callback has told of meanwhile."""
        missed = [name for name, at in self.found.items() if now >= at + _GRACE_S]
        for name in missed:
            del self.found[name]
        if missed:
            self._needed = (2 * self._needed or _FIRST_PROOF) if self.relied else self._needed
            self._in_a_row = 0
            self.relied = False


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
    reliance: Reliance = field(default_factory=Reliance, init=False)
    news: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Is set when a callback may have changed when to look next."""
    _looked_at: float = field(default=0.0, init=False)
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
            await self._pause()
            if self._watched():
                await self._turn()

    async def _pause(self) -> None:
        """Wait until it is time to look; what is told meanwhile may change when that is."""
        clock = self.ports.clock
        self._looked_at = clock.monotonic()
        while self._watched():
            now = clock.monotonic()
            self.reliance.judge(now)
            left_s = self._looked_at + self._pause_s() - now
            if left_s <= _LEAST_WAIT_S:
                break
            self.news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _GRACE_S) if self.reliance.found else left_s):
                    await self.news.wait()

    def _pause_s(self) -> float:
        """Say in how many seconds to look next: after a failure later and later."""
        least_s, durations = self.scheduler.options.poll_interval_s, self.scheduler.durations
        if self._failures:
            return max(least_s, wait_s(self._failures, self.ports.rng.random()))
        oldest = min(work.in_flight_since for work in self._watched())
        typical_s = median(durations) if durations else self.ports.clock.monotonic() - oldest
        often_s = max(least_s, _SHARE * typical_s)
        if self.reliance.relied:
            return max(least_s, self._untold_s())
        return max(least_s, min(often_s, self._untold_s())) if self.reliance.is_doubted else often_s

    def _untold_s(self) -> float:
        """Say in how many seconds to look next where callbacks are relied on: when one is late, or as a backstop."""
        if not self.scheduler.durations:
            return _BACKSTOP_S
        late_s = max(self.scheduler.durations) * (1 + _LATE)
        ages = [self._looked_at - work.in_flight_since for work in self._watched()]
        return min(_BACKSTOP_S, *(late_s - age if age < late_s else _LATER * age for age in ages))

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
        if self._list_refused or self.scheduler.kind.synchronous:
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
        for work, task in seen:
            self._absent_since.pop(work.external_id, None)
            with self.scheduler.about(work):
                self._judge(work, task)
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
            await read_all((f"query {work.take.key}", self.ask_for(work)) for work in some_of_them)
        in_flight = self.scheduler.in_flight
        for work in asked:
            # Whoever was asked for goes to the end, so that everybody's turn comes.
            if in_flight.get(work.external_id) is work:
                in_flight[work.external_id] = in_flight.pop(work.external_id)

    async def ask_for(self, work: Work) -> None:
        """Query a single task, and take in what is said of it."""
        with self.scheduler.about(work):
            await self._query(work)

    async def _query(self, work: Work) -> None:
        task_id = work.row.task_id
        outcome = await self.ports.service.query(self.scheduler.kind, task_id or "")
        if work.row.task_id != task_id or work.row.stage is not Stage.CREATED:
            return  # it was seen to end meanwhile
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
        self._judge(work, task)
        await self.reconciler.observe([(work, task)])

    def _judge(self, work: Work, task: Task) -> None:
        """Note where a task in flight is found to have ended, and no callback told of it."""
        if task.status.ended and work.row.stage is Stage.CREATED and task.task_id not in self.reliance.told:
            self.reliance.found[task.task_id] = self.ports.clock.monotonic()

    def _failed(self, outcome: Refused | ReadFailed) -> None:
        if isinstance(outcome, Refused) and (stop := stop_for(outcome)) is not None:
            self.scheduler.halt(stop)
        if isinstance(outcome, ReadFailed):
            self.scheduler.account.reader.tell(outcome.reason, self.scheduler.patience.left_s)
        self._failures += 1
