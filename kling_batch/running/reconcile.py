"""Bringing what we know together with what the account has: before anything is sent, and after an answer was lost.

A take that this journal never sent may have been sent by another machine, or by a later state of this journal; an
answer that was lost may have been that of a task. Both are looked for, and only silence that counts (see `account`)
lets the take be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kling_batch.errors import ServiceStop
from kling_batch.events import Looking
from kling_batch.model import Task
from kling_batch.records.account import Control
from kling_batch.records.attempts import Stage
from kling_batch.running.decide import Silence
from kling_batch.running.limits import wait_s
from kling_batch.running.slots import surely_ended_s
from kling_batch.running.work import Work

if TYPE_CHECKING:
    from kling_batch.running.engine import Engine

_LONGEST_GAP_S = 4.0


async def hear(engine: Engine, controls: list[Control]) -> None:
    """Hear the account before anything is sent: by tasks that we know, else by one that runs and that the list shows.

    What this machine has learned of the account, it learned of a task that ran.
    """
    account, known = engine.account, engine.knowledge.control
    if known is not None and await account.shows(known):
        account.live = True
    await account.hear(controls)
    if not account.live:
        await account.hear_from(await account.scan())


async def look_up(engine: Engine, works: list[Work], *, seconds: float) -> None:
    """Find what the account has of these works, and take it over.

    It looks twice, so many seconds apart: what was sent a moment ago may not be visible yet. The first look is at the
    list; the second asks for every take that is still missing, and counts only if a known task is shown right after.
    """
    account, clock = engine.account, engine.ports.clock
    absent = await _take_over(engine, works, await account.glance({work.external_id for work in works}))
    if not absent:
        return
    engine.ports.observe(Looking(at=engine.ports.clock.time(), takes=len(absent), seconds=seconds))
    if seconds > 0:
        await clock.sleep(seconds)
    tries = 0
    while absent:
        asked = missing = absent
        while asked:
            found = await account.find_all(work.external_id for work in asked)
            asked = await _take_over(engine, [work for work in asked if work.external_id in found], found)
        if await account.is_still_heard():
            break
        absent = [work for work in missing if work.status is None and work.row.stage is Stage.WITHDRAWN]
        tries += 1
        await clock.sleep(wait_s(tries, engine.ports.rng.random(), longest_s=_LONGEST_GAP_S))
    for work in works:
        work.looked_for = True


async def _take_over(engine: Engine, works: list[Work], found: Mapping[str, Task]) -> list[Work]:
    """Take in what was found, also of the next attempts of tasks that failed. Gives the works that are missing."""
    missing: list[Work] = []
    asked = works
    while asked:
        missing += [work for work in asked if work.external_id not in found]
        there = [work for work in asked if work.external_id in found]
        await engine.observe_all([(work, found[work.external_id]) for work in there])
        asked = [work for work in there if work.status is None and work.row.stage is Stage.WITHDRAWN]
    return missing


async def prove(engine: Engine, control: Control) -> None:
    """See the first task that this run made by its external id: the positive control of this very run.

    A source may show tasks late, or name them only once they have ended. So it is deaf only if, the settle time and
    the task's end later, neither the query nor the list has shown it.
    """
    clock, account = engine.ports.clock, engine.account
    due, gap = clock.monotonic() + engine.options.settle_time_s, 0.1
    last = listed = False
    while not (shown := await account.shows(control)) and not last:
        listed = listed or await account.lists(control)
        await clock.sleep(gap)
        gap = min(gap * 2, _LONGEST_GAP_S)
        last = clock.monotonic() >= due and control.external_id not in engine.flying
    while shown and not account.live and control.external_id in engine.flying:
        await clock.sleep(gap)  # it was shown after its end: how long it took is about to be seen
    account.query_heard, account.list_heard = shown, listed
    account.live = listed if not shown else account.live
    await engine.heard(control)


def deaf(task_id: str) -> ServiceStop:
    """Word the end of a run that cannot know what another machine has sent."""
    return ServiceStop(
        f"The account shows task {task_id} by its external id neither to a query nor in its list. So it cannot be "
        "known which takes another machine, or another copy of this folder, has sent and paid for already.",
        hint="Go on in the folder that worked last, or add --unproven if nobody else has ever run this set.",
    )


async def find_until_settled(engine: Engine, work: Work, *, wait_to_hear: bool = True) -> Task | Silence:
    """Look for the task of an unclear call until it is found, or until the settle time has passed without a trace.

    A look that fails proves nothing: there must be one that answers after the settle time. That is counted from now
    and not from the sending: an answer may be lost a minute after the call, and the task be made just then. Where a
    source was heard by ended tasks alone, a task that may run is absent only once it would surely have ended. Where no
    source has been heard so far, a canary may still change that, and is waited for if `wait_to_hear`.
    """
    clock, account, name = engine.ports.clock, engine.account, work.external_id
    settle_time_s = engine.options.settle_time_s
    due = clock.monotonic() + settle_time_s
    ended = clock.monotonic() + surely_ended_s(engine.knowledge.longest_s) - engine.seconds_since_sending(work)
    gap = min(1.0, max(0.05, settle_time_s / 8))
    while work.waits_for(name):
        began = clock.monotonic()
        task = await account.find(name)
        if task is not None:
            return task
        if began >= due and (account.live or not account.heard or began >= ended or not wait_to_hear):
            judged = await account.judge_silence(name, began)
            passing = account.heard or engine.may_still_hear()
            if judged is not Silence.UNHEARD or not (wait_to_hear and passing):
                return judged
        now = clock.monotonic()
        await clock.sleep(min(gap, due - now) if now < due else gap)
        gap = min(gap * 2, _LONGEST_GAP_S)
    return Silence.UNHEARD
