"""Taking in what callbacks tell. They are hints: polling is what finds the truth, and how often follows from them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from kling_batch.model import Task, TaskStatus
from kling_batch.records.attempts import Stage
from kling_batch.running.watch import Watcher
from kling_batch.running.work import Work
from kling_batch.service.callbacks import Callback
from kling_batch.service.wire import read_task


@dataclass(eq=False)
class Hints:
    """Takes in what is signed as an answer of the service, and asks for the task that anything else says has ended.

    Args:
        watcher: Asks for tasks, and knows whether callbacks can be relied on.
        inbox: Where they come in.
    """

    watcher: Watcher
    inbox: asyncio.Queue[Callback]
    heard: bool = field(default=False, init=False)
    """Whether anything came that tells of a task."""
    _hinted: set[str] = field(default_factory=set, init=False)
    _asking: set[str] = field(default_factory=set, init=False)

    async def heed(self) -> None:
        """Take in what comes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                callback = await self.inbox.get()
                task = read_task(callback.fields, self.watcher.scheduler.kind)
                if task is None:
                    continue
                self.heard = True
                self.watcher.reliance.found.pop(task.task_id, None)
                if (work := self._work_of(task, signed=callback.signed)) is not None:
                    self._heed(work, task, callback, group)

    def _work_of(self, task: Task, *, signed: bool) -> Work | None:
        """Find the take whose task is told of, while that is in flight. The answer to its call may still be unclear."""
        in_flight = self.watcher.scheduler.in_flight
        unclear = in_flight.get(task.external_id or "")
        if signed and unclear is not None and unclear.row.stage is Stage.INTENT:
            return unclear
        return self._watched(task.task_id)

    def _watched(self, task_id: str) -> Work | None:
        of_it = (work for work in self.watcher.scheduler.in_flight.values() if work.row.task_id == task_id)
        return next((work for work in of_it if work.row.stage is Stage.CREATED), None)

    def _heed(self, work: Work, task: Task, callback: Callback, group: asyncio.TaskGroup) -> None:
        reliance, name = self.watcher.reliance, task.task_id
        reliance.came()
        if task.status.ended:
            reliance.told.add(name)
        if callback.signed and _is_whole(work, task, named=bool(self.watcher.scheduler.kind.makes)):
            group.create_task(self._take_in(work, task), name=f"told of {name}")
        elif task.status.ended:
            self._hinted.add(name)
            if name not in self._asking:
                self._asking.add(name)
                group.create_task(self._ask(name), name=f"ask for {name}")
        self.watcher.news.set()

    async def _take_in(self, work: Work, task: Task) -> None:
        if task.status.ended:
            self._told()
        with self.watcher.scheduler.guarded():
            await self.watcher.reconciler.observe([(work, task)])

    async def _ask(self, name: str) -> None:
        """Ask for a task as often as it is said to have ended, but never closer together than polls."""
        scheduler, clock = self.watcher.scheduler, self.watcher.ports.clock
        while name in self._hinted and (work := self._watched(name)) is not None:
            self._hinted.discard(name)
            with scheduler.guarded():
                await self.watcher.ask_for(work)
            if self._watched(name) is None:
                self._told()
                break
            self.watcher.reliance.told.discard(name)
            await clock.sleep(scheduler.options.poll_interval_s)
        self._hinted.discard(name)
        self._asking.discard(name)

    def _told(self) -> None:
        self.watcher.reliance.told_in_time()
        self.watcher.news.set()


def _is_whole(work: Work, task: Task, *, named: bool) -> bool:
    """Whether a task is told of with all that a query would: no page says what a callback of a sound holds.

    `named` tells that what it made is known by its id, as a voice is.
    """
    made = {name for audio in task.audios if audio.id or not named for name in audio.urls}
    return task.status is not TaskStatus.SUCCEEDED or made.issuperset(work.take.job.formats)
