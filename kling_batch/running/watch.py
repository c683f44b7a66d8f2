"""Seeing tasks end: one list request observes all of them; single queries only for what the list does not show.

The list's order is not documented. Where the tasks in flight stand is learned: page 1 is tried first, the page that
showed them last is kept, and when it stops showing them the end of the list is looked for. What no page shows is asked
for one by one, a few a turn, so that a list in any order costs requests but never the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from kling_batch.model import Task
from kling_batch.records.attempts import Stage
from kling_batch.running.engine import Engine
from kling_batch.running.limits import wait_s
from kling_batch.running.pace import next_gap_s
from kling_batch.running.reading import stop_for
from kling_batch.running.together import together
from kling_batch.running.work import Work
from kling_batch.service.client import LONGEST_PAGE
from kling_batch.service.outcomes import Absent, Found, Page, ReadFailed, Refused

_FEW = 4
"""Single queries a turn that are always allowed; above it a quarter of what the list does not show."""
_EXPLORE_EVERY = 20
"""Turns between two searches for the end of the list."""
_AT_ONCE = 8
_SHORTEST_PAGE = 30
_ROWS_A_TASK = 4
"""Rows of a page for each task in flight: newest first, few tasks are overtaken by so many others."""


class Watcher:
    """Polls while anything is in flight, never closer together than the poll interval."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ports = engine.ports
        self.path = engine.kind.path
        self.home = 1
        """The page that is read first."""
        self._least_size = _SHORTEST_PAGE
        self._failures = 0
        self._turns_until_search = 0
        self._absent_since: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Watcher(home page {self.home}, {self._failures} failures)"

    async def watch(self) -> None:
        """Poll until cancelled. An account that has to be mended stops the run."""
        clock = self.ports.clock
        while True:
            if not self._watched():
                self.engine.airborne.clear()
                await self.engine.airborne.wait()
            await clock.sleep(self._pause_s())
            await self._turn()

    def _pause_s(self) -> float:
        """When to look next, from now: after a failure later and later, else when an end is likely."""
        engine = self.engine
        if self._failures:
            return max(engine.options.poll_interval_s, wait_s(self._failures, self.ports.rng.random()))
        now = self.ports.clock.monotonic()
        ages = [now - work.flying_since for work in self._watched()]
        return next_gap_s(engine.times, ages, least_s=engine.options.poll_interval_s, takes_wait=bool(engine.queue))

    def _watched(self) -> list[Work]:
        return [work for work in self.engine.flying.values() if work.row.stage is Stage.CREATED]

    async def _turn(self) -> None:
        """Observe every task in flight once, as far as the list shows it."""
        watched = self._watched()
        size = LONGEST_PAGE if self.home != 1 else min(LONGEST_PAGE, max(self._least_size, _ROWS_A_TASK * len(watched)))
        missing, full = await self._read(self.home, size, watched)
        if full and len(missing) > _FEW and size < LONGEST_PAGE:
            still_missing, full = await self._read(1, LONGEST_PAGE, missing)
            if len(still_missing) < len(missing):
                self._least_size = LONGEST_PAGE
            missing = still_missing
        if full and len(missing) > _FEW:
            missing, full = await self._read(self.home + 1, LONGEST_PAGE, missing)
        if full and len(missing) > _FEW:
            missing = await self._search(missing)
        await self._ask(missing)

    async def _read(self, number: int, size: int, watched: Sequence[Work]) -> tuple[list[Work], bool]:
        """Read a page and take in what it shows. Gives what it does not show, and whether the page was full."""
        outcome = await self.ports.service.page(self.path, number, size)
        if not isinstance(outcome, Page):
            self._failed(outcome)
            return list(watched), False  # a few are asked for singly: the list may fail alone
        self._failures = 0
        shown = {task.task_id: task for task in outcome.tasks}
        seen = [(work, shown[work.row.task_id or ""]) for work in watched if (work.row.task_id or "") in shown]
        unclear = [work for work in self.engine.flying.values() if work.row.stage is Stage.INTENT]
        if unclear:
            by_name = {task.external_id: task for task in outcome.tasks if task.external_id is not None}
            seen += [(work, by_name[work.external_id]) for work in unclear if work.external_id in by_name]
        if number == 1 or outcome.rows < size:
            self._see_others(outcome)
        for work, _ in seen:
            self._absent_since.pop(work.external_id, None)
        await self.engine.observe_all(seen)
        missing = [work for work in watched if (work.row.task_id or "") not in shown]
        return missing, outcome.rows == size

    def _see_others(self, page: Page) -> None:
        """Count the tasks in flight that are not ours: the account may have other users."""
        flying = self.engine.flying
        ours = {work.row.task_id for work in flying.values()}
        others = sum(
            1
            for task in page.tasks
            if not task.status.ended and task.task_id not in ours and task.external_id not in flying
        )
        self.engine.see_others(others)

    async def _search(self, missing: list[Work]) -> list[Work]:
        """Look for the end of the list, now and then: a list with the oldest first shows what is new there."""
        self._turns_until_search -= 1
        if self._turns_until_search > 0:
            return missing
        self._turns_until_search = _EXPLORE_EVERY
        low, high = self.home, self.home + 1
        while await self._rows(high) == LONGEST_PAGE:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            if await self._rows(middle):
                low = middle
            else:
                high = middle
        last = low if not await self._rows(high) else high
        left, _ = await self._read(last, LONGEST_PAGE, missing)
        if len(left) < len(missing):
            self.home = last
        elif self.home != 1:
            self.home = 1
        return left

    async def _rows(self, number: int) -> int:
        outcome = await self.ports.service.page(self.path, number, LONGEST_PAGE)
        if isinstance(outcome, Page):
            return outcome.rows
        self._failed(outcome)
        return 0

    async def _ask(self, missing: Sequence[Work]) -> None:
        """Query single tasks: the few that the list does not show, or a part of the many, the longest unseen first."""
        some = max(_FEW, len(missing) // 4)
        asked = [work for work in missing if work.row.stage is Stage.CREATED][:some]
        for begin in range(0, len(asked), _AT_ONCE):
            some_of_them = asked[begin : begin + _AT_ONCE]
            await together((f"query {work.take.key}", self._query(work)) for work in some_of_them)
        for work in asked:
            # Whoever was asked for goes to the end, so that everybody's turn comes.
            if self.engine.flying.get(work.external_id) is work:
                self.engine.flying[work.external_id] = self.engine.flying.pop(work.external_id)

    async def _query(self, work: Work) -> None:
        task_id = work.row.task_id
        outcome = await self.ports.service.query(self.path, task_id or "")
        if work.row.task_id != task_id:
            # It was seen to fail meanwhile, and is at its next attempt.
            return
        match outcome:
            case Found(task=task):
                self._failures = 0
                await self._observe(work, task)
            case Absent():
                await self._absent(work)
            case _:
                self._failed(outcome)

    async def _absent(self, work: Work) -> None:
        """A task that the service named and does not know: late, at first; then lost, and never made anew unasked."""
        now = self.ports.clock.monotonic()
        since = self._absent_since.setdefault(work.external_id, now)
        if now - since >= max(self.engine.options.settle_time_s, self.engine.options.poll_interval_s):
            self.engine.lost(work)

    async def _observe(self, work: Work, task: Task) -> None:
        self._absent_since.pop(work.external_id, None)
        await self.engine.observe(work, task)

    def _failed(self, outcome: Refused | ReadFailed) -> None:
        if isinstance(outcome, Refused) and (stop := stop_for(outcome)) is not None:
            self.engine.halt(stop)
        self._failures += 1
