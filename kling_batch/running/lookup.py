"""Looking before sending: what the account already has of takes that this journal never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_batch.events import Looking
from kling_batch.records.attempts import Stage
from kling_batch.running.work import Work

if TYPE_CHECKING:
    from kling_batch.running.engine import Engine


async def look_up(engine: Engine, works: list[Work], *, wait: bool) -> None:
    """Find what the account has of these works, and take it over.

    With `wait` it looks twice, the settle time apart: what a run of another machine sent a moment ago may not be
    visible yet. A take whose task failed goes on to its next attempt, which is looked up in turn.
    """
    settle_time_s = engine.options.settle_time_s if wait else 0.0
    engine.ports.observe(Looking(at=engine.ports.clock.time(), takes=len(works), seconds=settle_time_s))
    absent = await _look_once(engine, works)
    if absent and settle_time_s > 0:
        await engine.ports.clock.sleep(settle_time_s)
        await _look_once(engine, absent)


async def _look_once(engine: Engine, works: list[Work]) -> list[Work]:
    """Look for the works' attempts, and for the next ones of those that failed. Gives the works that were not found."""
    absent: list[Work] = []
    asked = works
    while asked:
        found = await engine.account.find_all(work.external_id for work in asked)
        absent += [work for work in asked if work.external_id not in found]
        there = [work for work in asked if work.external_id in found]
        await engine.observe_all([(work, found[work.external_id]) for work in there])
        asked = [work for work in there if work.status is None and work.row.stage is Stage.WITHDRAWN]
    return absent
