"""Taking in what the service says of a task."""

from __future__ import annotations

import asyncio
from typing import Any

from kling_batch.model import TaskStatus
from kling_batch.records.attempts import Stage


def test_a_take_is_delivered_once_while_its_creation_is_still_being_written(
    parts_of: Any, journal: Any, work: Any, task: Any
) -> None:
    """A task whose end is seen before the disk has its creation is delivered once, not once for each write."""

    async def go() -> list[Any]:
        delivered: list[Any] = []
        slow = journal()
        parts = parts_of([work], slow, delivered)
        slow.gate.clear()
        created = asyncio.create_task(parts.reconciler.observe([(work, task(work, TaskStatus.SUBMITTED))]))
        ended = asyncio.create_task(parts.reconciler.observe([(work, task(work, TaskStatus.SUCCEEDED))]))
        await asyncio.sleep(0)
        slow.gate.set()
        await asyncio.gather(created, ended)
        return delivered

    assert asyncio.run(go()) == [work]


def test_a_slot_is_free_before_the_disk_has_the_end(parts_of: Any, journal: Any, work: Any, task: Any) -> None:
    """The turn that sees a task's end frees its slot, whatever the disk does."""

    async def go() -> tuple[int, list[Stage]]:
        slow = journal()
        parts = parts_of([work], slow, [])
        await parts.reconciler.observe([(work, task(work, TaskStatus.PROCESSING))])
        slow.gate.clear()
        ended = asyncio.create_task(parts.reconciler.observe([(work, task(work, TaskStatus.SUCCEEDED))]))
        await asyncio.sleep(0)
        in_flight = len(parts.scheduler.in_flight)
        slow.gate.set()
        await ended
        return in_flight, [row.stage for row in slow.rows]

    assert asyncio.run(go()) == (0, [Stage.CREATED, Stage.SUCCEEDED])


def test_what_is_said_twice_changes_nothing(parts_of: Any, journal: Any, work: Any, task: Any) -> None:
    """The same answer again is neither written nor delivered again."""

    async def go() -> tuple[int, int]:
        slow = journal()
        delivered: list[Any] = []
        parts = parts_of([work], slow, delivered)
        for _ in range(3):
            await parts.reconciler.observe([(work, task(work, TaskStatus.SUCCEEDED))])
        return len(slow.rows), len(delivered)

    assert asyncio.run(go()) == (1, 1)
