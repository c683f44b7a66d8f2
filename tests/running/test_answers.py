"""The answer to a synchronous call is what it is paid for, and not to be had again: it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kling_batch.errors import Interrupted
from kling_batch.events import Event, Warned
from kling_batch.model import Audio, Task, TaskStatus
from kling_batch.records.attempts import Stage
from kling_batch.running.engine import Engine
from kling_batch.running.work import Work, first_row, nothing_known
from kling_batch.service.outcomes import Created
from tests.chaos.virtual import Time, VirtualClock, run_virtual

SPOKEN = Audio(id="a", urls={"mp3": "https://files.test/a.mp3"}, durations_s={})


class Thinking:
    """A service that takes four minutes to speak."""

    requests = answers = 0

    async def create(self, *_: object, **__: object) -> Created:
        await asyncio.sleep(240)
        self.answers = 1
        return Created(task=Task(task_id="1", external_id=None, status=TaskStatus.SUCCEEDED, audios=(SPOKEN,)))


@pytest.fixture
def spoken(work: Work) -> Work:
    job = replace(work.take.job, kind="text-to-speech", request={"text": "Hello"}, formats=("mp3",))
    take = replace(work.take, job=job)
    return Work(facts=nothing_known(take), row=first_row(take, 1))


@pytest.mark.parametrize("stopped_after_s", [None, 3.0], ids=["left alone", "stopped"])
def test_an_answer_that_takes_minutes_is_heard(
    parts_of: Any, journal: Callable[[], Any], spoken: Work, stopped_after_s: float | None
) -> None:
    """Neither patience nor a stop gives up a call that is being paid for, and a person is told what is waited for."""
    time, kept, said = Time(), journal(), list[Event]()
    world = {"clock": VirtualClock(time), "service": Thinking(), "observe": said.append}
    parts = parts_of([spoken], kept, world=world, of_kind="text-to-speech")
    engine = Engine(parts.scheduler, parts.reconciler, parts.ports, parts.wake)

    async def go() -> None:
        async with asyncio.TaskGroup() as group:
            if stopped_after_s is not None:
                asyncio.get_running_loop().call_later(
                    stopped_after_s, parts.scheduler.halt, Interrupted("Interrupted.")
                )
            conducting = group.create_task(engine.conduct(group, controls=[]))
            while kept.rows[-1:] == [] or kept.rows[-1].stage is not Stage.SUCCEEDED:
                await asyncio.sleep(1)
                assert not (conducting.done() and kept.rows[-1].stage is Stage.INTENT)
            conducting.cancel()

    run_virtual(time, go())
    assert kept.rows[-1].audios == (SPOKEN,)
    assert (parts.scheduler.stopped is None) == (stopped_after_s is None)
    waits = [event for event in said if isinstance(event, Warned) and "not to be had again" in event.message]
    assert len(waits) == (stopped_after_s is not None)
