"""What callbacks change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kling_batch.model import Audio, Task, TaskStatus
from kling_batch.records.attempts import Stage
from kling_batch.running.hints import Hints
from kling_batch.running.watch import Reliance, Watcher
from kling_batch.service.callbacks import Callback
from kling_batch.service.outcomes import Found

SOUND = {"audios": [{"id": "1", "url_wav": "https://x.test/1.wav", "duration_wav": "3.0"}]}


class Service:
    """Counts queries: the task has ended."""

    answers = requests = 1

    def __init__(self, status: TaskStatus) -> None:
        self.asked: list[str] = []
        self.status = status

    async def query(self, _: Any, task_id: str) -> Found:
        self.asked.append(task_id)
        audios = (Audio(id="1", urls={"wav": "https://x.test/1.wav"}, durations_s={"wav": 3.0}),)
        return Found(task=Task(task_id=task_id, external_id=None, status=self.status, audios=audios))


def told(status: str, *, signed: bool, task_id: str = "7", **more: Any) -> Callback:
    return Callback(fields={"task_id": task_id, "task_status": status, **more}, signed=signed)


@pytest.fixture
def after(parts_of: Any, work: Any, journal: Any) -> Callable[..., tuple[Service, Any, Watcher]]:
    """Tell of a task in flight."""

    def tell(*callbacks: Callback, status: TaskStatus = TaskStatus.SUCCEEDED) -> tuple[Service, Any, Watcher]:
        service = Service(status)

        async def go() -> Watcher:
            parts = parts_of([work], journal(), world={"service": service}, poll_interval_s=3600.0)
            object.__setattr__(work.row, "stage", Stage.INTENT)
            await parts.reconciler.observe([(work, Task(task_id="7", external_id=None, status=TaskStatus.PROCESSING))])
            watcher = Watcher(parts.scheduler, parts.reconciler, parts.ports, asyncio.Event())
            inbox: asyncio.Queue[Callback] = asyncio.Queue()
            for callback in callbacks:
                inbox.put_nowait(callback)
            heeding = asyncio.create_task(Hints(watcher, inbox).heed())
            for _ in range(50):
                await asyncio.sleep(0)
            heeding.cancel()
            return watcher

        watcher = asyncio.run(go())
        return service, work, watcher

    return tell


@pytest.mark.parametrize(
    ("callbacks", "asked", "stage"),
    [
        ([told("succeed", signed=True, task_result=SOUND)], [], Stage.SUCCEEDED),
        ([told("succeed", signed=True)], ["7"], Stage.SUCCEEDED),
        ([told("succeed", signed=False, task_result=SOUND)], ["7"], Stage.SUCCEEDED),
        ([told("succeed", signed=False)] * 5, ["7"], Stage.SUCCEEDED),
        ([told("failed", signed=True)], [], Stage.WITHDRAWN),
        ([told("processing", signed=False), told("submitted", signed=True)], [], Stage.CREATED),
        ([told("succeed", signed=True, task_result=SOUND), told("processing", signed=True)], [], Stage.SUCCEEDED),
        ([told("succeed", signed=True, task_id="8"), told("failed", signed=False, task_id="9")], [], Stage.CREATED),
        ([Callback(fields={"id": "console", "status": "submitted"}, signed=True)], [], Stage.CREATED),
    ],
    ids=["signed", "signed, without a result", "unsigned", "again and again", "failed", "not ended", "reordered",
         "of other tasks", "a test of the console"],
)  # fmt: skip
def test_signed_ones_are_answers_and_others_are_hints(
    after: Any, callbacks: list[Callback], asked: list[str], stage: Stage
) -> None:
    """What is not signed, or not whole, makes the task be asked for; what is not about us changes nothing."""
    service, work, _ = after(*callbacks)
    assert (service.asked, work.row.stage) == (asked, stage)


def test_a_lie_is_asked_about_once_in_a_poll_interval(after: Any) -> None:
    """The task goes on as the service says."""
    lies = [told("failed", signed=False)] * 20
    service, work, watcher = after(*lies, status=TaskStatus.PROCESSING)
    assert (service.asked, work.row.stage, watcher.reliance.told) == (["7"], Stage.CREATED, set())


def test_polls_are_rare_from_the_first_callback_on(after: Any) -> None:
    """And earlier where a task runs longer than any before it."""
    _, work, watcher = after()
    watcher._looked_at = work.in_flight_since
    before = watcher._pause_s()
    object.__setattr__(watcher.scheduler.options, "poll_interval_s", 0.1)
    watcher.reliance.came()
    assert (before, watcher._pause_s()) == (3600.0, 20.0)
    watcher.scheduler.durations.extend([2.0, 10.0])
    assert watcher._pause_s() == pytest.approx(10.2)


def test_one_end_that_nobody_told_of_ends_the_reliance() -> None:
    """It takes many told ends to get it back, twice as many the next time; a callback may be a second late."""
    reliance = Reliance()
    seen = []
    for needed in (0, 20, 40):
        for _ in range(needed):
            seen.append(reliance.relied)
            reliance.told_in_time()
        reliance.came()
        assert reliance.relied
        reliance.found["7"] = 100.0
        reliance.judge(100.9)
        assert reliance.relied
        reliance.judge(101.0)
        reliance.came()
        assert reliance.is_doubted
    assert not any(seen)


def test_where_nothing_ever_came_nothing_is_missed() -> None:
    """A tunnel may come up later than the run."""
    reliance = Reliance(found={"7": 0.0})
    reliance.judge(5.0)
    reliance.came()
    assert reliance.relied
