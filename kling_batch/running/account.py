"""What the account already holds, seen through its list and by single queries.

The order of the list is not documented, and pages are taken one after another while tasks may be added: a list that
fits one page is a snapshot and its silence counts; over several pages it counts only if no row came twice. A list
that tells no external ids at all says nothing about ours.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kling_batch.clock import Clock
from kling_batch.model import Task, TaskStatus
from kling_batch.running.reading import insist
from kling_batch.running.together import together
from kling_batch.service.client import LONGEST_PAGE, Service
from kling_batch.service.outcomes import Found, Page

_MOST_PAGES = 1000
"""The list goes no deeper [official pages]."""
_AT_ONCE = 8

_RANK = {TaskStatus.SUCCEEDED: 0, TaskStatus.PROCESSING: 1, TaskStatus.SUBMITTED: 1, TaskStatus.FAILED: 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """A look through the list: the best task of each external id. `complete`: what is not in it was not there."""

    tasks: dict[str, Task]
    complete: bool
    began: float
    pages: int


@dataclass(slots=True)
class Account:
    """Looks through the account's tasks of one kind."""

    service: Service
    path: str
    clock: Clock
    rng: random.Random
    patience_s: float
    _last: Scan | None = None
    _scanning: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def scan(self, *, most_pages: int = _MOST_PAGES) -> Scan:
        """Read the list from page 1, to its end or for `most_pages`.

        Raises:
            AccountStop: The account has to be mended first.
            ServiceUnavailable: The list could not be read.
        """
        began = self.clock.monotonic()
        best: dict[str, Task] = {}
        seen: set[str] = set()
        rows = 0
        number = 0
        ended = False
        while not ended and number < min(most_pages, _MOST_PAGES):
            number += 1
            page = await self._page(number)
            rows += page.rows
            for task in page.tasks:
                seen.add(task.task_id)
                if task.external_id is not None:
                    best[task.external_id] = better(best.get(task.external_id), task)
            ended = page.rows < LONGEST_PAGE
        tells = bool(best) or not rows
        scan = Scan(tasks=best, complete=ended and tells and len(seen) == rows, began=began, pages=number)
        self._last = scan
        return scan

    async def scan_since(self, moment: float) -> Scan:
        """Give a whole scan that began at or after `moment` (of the monotonic clock); several takes share one."""
        async with self._scanning:
            if self._last is None or self._last.began < moment:
                return await self.scan()
            return self._last

    async def find(self, external_id: str) -> Task | None:
        """Ask for one task by its external id; None when the service knows none, for now.

        Raises:
            AccountStop: The account has to be mended first.
            ServiceUnavailable: The service could not be read.
        """
        outcome = await insist(
            lambda: self.service.query(self.path, external_id),
            clock=self.clock,
            rng=self.rng,
            patience_s=self.patience_s,
        )
        return outcome.task if isinstance(outcome, Found) else None

    async def find_all(self, external_ids: Iterable[str]) -> dict[str, Task]:
        """Find what there is of many external ids: through the list while that is cheaper, then one by one.

        At most as many pages are read as there are ids, so that it never costs more than twice the best way.
        """
        wanted = list(dict.fromkeys(external_ids))
        if not wanted:
            return {}
        scan = await self.scan(most_pages=len(wanted))
        found = {name: scan.tasks[name] for name in wanted if name in scan.tasks}
        if not scan.complete:
            found |= await self._one_by_one([name for name in wanted if name not in found])
        return found

    async def _one_by_one(self, external_ids: list[str]) -> dict[str, Task]:
        waiting = iter(external_ids)
        found: dict[str, Task] = {}

        async def work() -> None:
            for name in waiting:
                if (task := await self.find(name)) is not None:
                    found[name] = task

        await together((f"look-up {number}", work()) for number in range(_AT_ONCE))
        return found

    async def _page(self, number: int) -> Page:
        return await insist(
            lambda: self.service.page(self.path, number, LONGEST_PAGE),
            clock=self.clock,
            rng=self.rng,
            patience_s=self.patience_s,
        )


class Shown:
    """Finished tasks as the account's list shows them, read page by page while they are asked for.

    A hint, no more: whoever is not shown is asked for alone. A page that shows nothing wanted, or that cannot be read,
    is the last that is tried.

    Args:
        service: Has the list.
        path: Where, of the kind of task.
        wanted: The external ids that will be asked for; it may grow. Nothing is kept of other tasks.
    """

    def __init__(self, service: Service, path: str, wanted: Collection[str]) -> None:
        self._service = service
        self._path = path
        self._wanted = wanted
        self._tasks: dict[str, Task] = {}
        self._page = 1
        self._ended = False
        self._reading = asyncio.Lock()

    async def find(self, external_id: str) -> Task | None:
        """Give a task that has sounds; None where the list, as far as it was read, does not show it."""
        async with self._reading:
            if external_id not in self._tasks and not self._ended:
                await self._read_on()
            return self._tasks.pop(external_id, None)

    async def _read_on(self) -> None:
        page = await self._service.page(self._path, self._page, LONGEST_PAGE)
        self._page += 1
        if not isinstance(page, Page):
            self._ended = True
            return
        known = len(self._tasks)
        for task in page.tasks:
            name = task.external_id
            if name is not None and name in self._wanted and task.audios:
                self._tasks[name] = better(self._tasks.get(name), task)
        self._ended = len(self._tasks) == known or page.rows < LONGEST_PAGE


def better(known: Task | None, task: Task) -> Task:
    """Choose between two tasks of one external id, which a service that takes duplicates may have."""
    if known is None:
        return task
    return min(known, task, key=lambda one: (_RANK[one.status], one.created_ms or 0, one.task_id))
