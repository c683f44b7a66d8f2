"""Results to files: takes whose tasks have succeeded are brought home, so many at once.

Runs beside generation and never holds a slot. How one take is brought home stands in `delivery`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from kling_batch.identity import external_task_id
from kling_batch.model import Status, TakeError, is_unfinished, rejecting
from kling_batch.planning.edits import is_edited, made_here
from kling_batch.running.copies import Copies
from kling_batch.running.delivery import Delivery
from kling_batch.running.endings import rejection
from kling_batch.running.fetching import Fetching
from kling_batch.running.files import Files, Undelivered
from kling_batch.running.locking import LockKeeper
from kling_batch.running.ports import Ports
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.siblings import Siblings
from kling_batch.running.work import Work

AT_ONCE = 8
"""Takes that are delivered at once here, besides those that wait for another try and what workers have."""


@dataclass(eq=False)
class Deliveries:
    """A queue of finished tasks, which are brought home in turn.

    Args:
        lock: Gathers what is finished.
        copies: The store.
        siblings: Other takes that a sound may be alike.
        known: The external ids of all attempts that were made before this run.
        offline: There is nobody to ask for a file.
        at_once: How many takes are brought home at once.
    """

    lock: LockKeeper
    copies: Copies
    siblings: Siblings
    known: Container[str]
    offline: bool
    at_once: int = AT_ONCE
    _queue: asyncio.Queue[Work] = field(default_factory=asyncio.Queue, init=False)
    _unseen: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._room = asyncio.Semaphore(self.at_once)

    def add(self, work: Work) -> None:
        """Queue a work whose task has succeeded."""
        if work.task is None:
            self._unseen.add(work.external_id)
        self._queue.put_nowait(work)

    async def work(self, scheduler: Scheduler, ports: Ports) -> None:
        """Deliver until cancelled. What ends the run, such as a full disk, ends one delivery, and stops the run."""
        fetching = Fetching(scheduler, ports, self._unseen)
        async with asyncio.TaskGroup() as group:
            while True:
                work = await self._queue.get()
                await self._room.acquire()
                group.create_task(
                    self._bring_home(work, scheduler, ports, fetching), name=f"deliver {work.external_id}"
                )

    async def _bring_home(self, work: Work, scheduler: Scheduler, ports: Ports, fetching: Fetching) -> None:
        """Deliver a take and end it. What befalls it stays with it."""
        with scheduler.guarded():
            with scheduler.about(work):
                out = scheduler.options.out
                files = Files(work, scheduler.options, self.copies, ports.probe, partial(self._is_edited, out))
                delivery = Delivery(files, fetching, self.siblings, scheduler, ports, self._room, self.offline)
                try:
                    await delivery.bring()
                    self._end(work, scheduler)
                except Undelivered as why:
                    _give_up(work, scheduler, why)
            self.copies.tell(ports)
            await self.lock.write_if_due()
        self._room.release()

    def _end(self, work: Work, scheduler: Scheduler) -> None:
        """End a take that has come, or have another sound made in place of one that was rejected."""
        self.lock.put(work)
        rejected = rejecting(work.row.remarks)
        again = replace(work.take, edition=work.take.edition + 1)
        if not rejected:
            scheduler.end(work, Status.SUCCEEDED)
        elif work.rolls > 0 and not is_unfinished(rejected) and external_task_id(again) not in self.known:
            scheduler.roll_again(work, "; ".join(remark.words for remark in rejected))
        else:
            scheduler.end(work, Status.FAILED, rejection(work.row, rejected))

    def _is_edited(self, out: Path, path: str) -> bool:
        """Whether a file that a new sound replaced was edited by a person. Blocks."""
        return is_edited(out, path, self._made)

    @cached_property
    def _made(self) -> frozenset[str]:
        return made_here(self.lock.lock)


def _give_up(work: Work, scheduler: Scheduler, why: Undelivered) -> None:
    """End a take whose file cannot be had: paid for and not delivered, and how to get it."""
    again = "Run the same command again within 30 days of its generation: it fetches the file, and pays nothing."
    message = f"Paid for and not delivered: {why.reason} (task {work.row.task_id})."
    error = TakeError(code=None, message=message, hint=again if why.passing else why.repair)
    scheduler.end(work, Status.PENDING if why.passing else Status.FAILED, error)
