"""What the account already holds, asked for by external id and seen in its list; and which of the two was heard.

The query for an external id and the list are two sources. What a source shows is there. What it does not show is absent
only if the source has been heard: if it has shown, by its external id, a task that is known to exist (a positive
control). A list may be scoped to another key, cut at so many rows, paged smaller than asked, limited to recent tasks,
or tell no external ids, and look complete all the same: none of this is documented. So the query's silence counts
first, and the list's only where the query cannot be heard.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from kling_batch.catalog import Kind
from kling_batch.errors import ReadRefused
from kling_batch.model import Task, TaskStatus
from kling_batch.records.account import Control
from kling_batch.running.decide import Silence
from kling_batch.running.reading import Reader, read_all
from kling_batch.service.client import LONGEST_PAGE, Service
from kling_batch.service.outcomes import Found, ListOutcome, Page

_MOST_PAGES = 1000
"""The list goes no deeper [official pages]."""
_HINT_PAGES = 4
"""Pages that are read where the list may show what the query does not yet: a hint, no more."""
_AT_ONCE = 8
_OURS_OR_ALIKE = re.compile(r"(?=.*[^0-9])[A-Za-z0-9_-]{1,64}")
"""External ids that can stand in a path, and that are none of a task."""

_RANK = {TaskStatus.SUCCEEDED: 0, TaskStatus.PROCESSING: 1, TaskStatus.SUBMITTED: 1, TaskStatus.FAILED: 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """A look through the list: the best task of each external id, and every task id.

    `sound` tells that it was read up to an empty page, with no row twice. `began` is a moment of the monotonic clock.
    """

    tasks: dict[str, Task]
    ids: frozenset[str]
    sound: bool
    began: float


@dataclass(slots=True)
class Account:
    """Looks for the account's tasks of one kind.

    `claims` are the external ids of tasks that are known to be ours, by task id. `query_heard` and `list_heard` tell
    which source's silence counts; `live` that a source has shown a task by its external id while it ran, so that its
    silence counts of tasks that may run, too.
    """

    reader: Reader
    kind: Kind
    claims: dict[str, str] = field(default_factory=dict)
    query_heard: bool = False
    list_heard: bool = False
    live: bool = False
    _control: Control | None = None
    _tells_apart: bool | None = None
    _baseline: frozenset[str] | None = None
    _last: Scan | None = None
    _scanning: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def heard(self) -> bool:
        """Whether the silence of any source counts."""
        return self.query_heard or self.list_heard

    async def find(self, external_id: str) -> Task | None:
        """Ask for one task by its external id; None when the service shows none, for now.

        An answer that names no external id may be about any task. It is believed where it names a task that we know,
        or where the service answers an id that nobody uses with no task: then it tells ids apart.

        Raises:
            AccountStop: The account has to be mended first.
            NotFinished: The service refuses to be asked, or could not be read.
        """
        task = await self._ask(external_id)
        if task is None:
            return None
        heard = task.external_id == external_id or await self._can_tell_apart()
        whose = self.claims.get(task.task_id)
        if whose not in {None, external_id} or not (heard or whose):
            return None
        self.claims[task.task_id] = external_id
        if heard:
            self.query_heard = True
            self.live = self.live or not task.status.ended
            self._control = Control(external_id=external_id, task_id=task.task_id)
        return task

    async def shows(self, control: Control) -> bool:
        """Whether the query shows a task that is known to exist by its external id; then it has been heard."""
        self.claims[control.task_id] = control.external_id
        task = await self.find(control.external_id)
        return task is not None and self._control is not None and self._control.external_id == control.external_id

    async def shows_any(self, controls: Iterable[Control], task_ids: AbstractSet[str | None]) -> bool:
        """Whether the query shows one of these tasks under its number, or the list's first pages one of the numbers."""
        if self.kind.external_id is not None:
            for control in controls:
                task = await self._ask(control.external_id)
                if task is not None and task.task_id == control.task_id:
                    return True
        return bool(task_ids & (await self._read(_HINT_PAGES)).ids)

    async def hear(self, controls: Iterable[Control]) -> None:
        """Ask for tasks that are known to exist, until the query has been heard."""
        for control in controls:
            if self.query_heard or await self.shows(control):
                return

    async def hear_from(self, scan: Scan) -> None:
        """Take a task of anybody's that runs, which the list shows with its external id, for the query's control."""
        running = [
            task for name, task in scan.tasks.items() if not task.status.ended and _OURS_OR_ALIKE.fullmatch(name)
        ]
        if running and not self.live:
            latest = max(running, key=lambda task: (task.created_ms or 0, task.task_id))
            await self.shows(Control(external_id=latest.external_id or "", task_id=latest.task_id))

    async def is_still_heard(self) -> bool:
        """Whether the query shows again what it has shown: else its silence of a moment ago says nothing."""
        return self._control is None or await self.shows(self._control)

    async def lists(self, control: Control) -> bool:
        """Whether the list shows a task that runs by its external id, and still everything that it showed at first.

        A list that names tasks only once they have ended says nothing of those that run; one that is cut at so many
        rows loses the oldest one when a task is added.
        """
        scan = await self.scan()
        shown = scan.tasks.get(control.external_id)
        runs = shown is not None and shown.task_id == control.task_id and not shown.status.ended
        return runs and scan.sound and self._baseline is not None and self._baseline <= scan.ids

    async def scan(self, *, patient: bool = False) -> Scan:
        """Read the whole list, up to an empty page: a page may be smaller than asked and not be the last.

        `patient` repeats what cannot be read for the moment: where only the list may show a task, it has to be read.
        """
        scan = await self._read(_MOST_PAGES, to_an_empty_page=True, patient=patient)
        if self._baseline is None:
            self._baseline = scan.ids
        return scan

    async def glance(self, wanted: Collection[str]) -> dict[str, Task]:
        """Read some pages for tasks of these external ids: as many pages as there are ids at most."""
        return (await self._read(min(_MOST_PAGES, len(wanted)))).tasks if wanted else {}

    async def find_all(self, external_ids: Iterable[str]) -> dict[str, Task]:
        """Ask for many tasks by their external ids, some at a time; where only the list can be heard, read it, too."""
        wanted = list(dict.fromkeys(external_ids))
        waiting = iter(wanted)
        found: dict[str, Task] = {}

        async def work() -> None:
            for name in waiting:
                if (task := await self.find(name)) is not None:
                    found[name] = task

        await read_all((f"look-up {number}", work()) for number in range(_AT_ONCE))
        if wanted and not self.query_heard:
            found |= (await self.scan(patient=True)).tasks
        return found

    async def judge_silence(self, external_id: str, since: float) -> Task | Silence:
        """Say what it means that a query after `since` (of the monotonic clock) did not show a task."""
        async with self._scanning:  # several takes share one look
            if self._last is None or self._last.began < since:
                self._last = await (self._read(_HINT_PAGES) if self.query_heard else self.scan())
            scan = self._last
        if external_id in scan.tasks:
            return scan.tasks[external_id]
        counts = await self.is_still_heard() if self.query_heard else self.list_heard and scan.sound
        return Silence.ABSENT if counts else Silence.UNHEARD

    async def _ask(self, any_id: str) -> Task | None:
        outcome = await self.reader.read(lambda: self.reader.service.query(self.kind, any_id))
        return outcome.task if isinstance(outcome, Found) else None

    async def _can_tell_apart(self) -> bool:
        """Ask, once, for an id that nobody uses: a service that names some task for it says nothing by any answer."""
        if self._tells_apart is None:
            nobody = f"kb-nobody-{self.reader.rng.getrandbits(64):016x}"
            self._tells_apart = await self._ask(nobody) is None
        return self._tells_apart

    async def _page(self, number: int, size: int, *, patient: bool) -> Page | None:
        """Read a page of the list; None where it cannot be read, or, if `patient`, where the service refuses it.

        Before the first answer there is nothing to do but to be patient.
        """

        async def read() -> ListOutcome:
            return await self.reader.service.page(self.kind, number, size)

        if not patient and self.reader.answered:
            page = await read()
            return page if isinstance(page, Page) else None
        try:
            return await self.reader.read(read)
        except ReadRefused:
            return None

    async def _read(self, most_pages: int, *, to_an_empty_page: bool = False, patient: bool = False) -> Scan:
        """Read the list from page 1, up to a page that is not full or, if that is asked for, up to an empty one.

        A page that cannot be read ends it: what the list shows is a hint, and its silence counts only if it is sound.
        """
        began = self.reader.clock.monotonic()
        best: dict[str, Task] = {}
        ids: set[str] = set()
        rows = number = 0
        size = LONGEST_PAGE
        ended = False
        while not ended and number < most_pages:
            number += 1
            page = await self._page(number, size, patient=patient)
            if page is None:
                break
            rows += page.rows
            for task in page.tasks:
                ids.add(task.task_id)
                if task.external_id is not None:
                    best[task.external_id] = better(best.get(task.external_id), task)
            ended = page.rows == 0 or (page.rows < size and not to_an_empty_page)
            if number == 1 and page.rows:
                size = page.rows  # however a smaller page counts, the next one begins behind this many rows
        sound = to_an_empty_page and ended and len(ids) == rows
        return Scan(tasks=best, ids=frozenset(ids), sound=sound, began=began)


class Shown:
    """Finished tasks as the account's list shows them, read page by page while they are asked for.

    A hint, no more: whoever is not shown is asked for alone. A page that shows nothing wanted, or that cannot be read,
    is the last that is tried.

    Args:
        service: Has the list.
        kind: Of which kind of task.
        wanted: The external ids that will be asked for; it may grow. Nothing is kept of other tasks.
    """

    def __init__(self, service: Service, kind: Kind, wanted: Collection[str]) -> None:
        self._service = service
        self._kind = kind
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
        page = await self._service.page(self._kind, self._page, LONGEST_PAGE)
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
