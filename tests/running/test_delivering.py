"""The workers that bring files home."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from kling_batch.errors import DiskUnusable
from kling_batch.running.deliver import Deliveries


class _FullOnTheWayOut:
    """A work whose files cannot be looked at: the disk is full in the moment in which the run lets go of it."""

    task = None
    external_id = "kb-full"

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    @property
    def status(self) -> None:
        return None

    @property
    def take(self) -> Any:
        self.reached.set()
        raise DiskUnusable("the disk is full")


def test_a_worker_that_meets_a_full_disk_ends(engine_of: Any, journal: Any, work: Any) -> None:
    """A worker stops the run and itself; one that went on would wait for ever, and the run with it."""

    async def go() -> bool:
        engine = engine_of([work], journal(), [])
        deliveries = Deliveries(cast("Any", None), None)
        deliveries.add(cast("Any", _FullOnTheWayOut()))
        await asyncio.wait_for(deliveries.work(engine), timeout=5)
        return isinstance(engine.stopped, DiskUnusable)

    assert asyncio.run(go())
