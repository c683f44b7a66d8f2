"""What is shown of a run, from events alone: counts and a heartbeat."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from decimal import Decimal

import pytest

from kling_batch.cli.output import painted
from kling_batch.cli.progress import Heartbeat, Tally
from kling_batch.events import Event, RunStarted, TakeChanged, TakeEnded
from kling_batch.model import Status, TakeKey


def tallied(events: Iterable[Event]) -> Tally:
    tally = Tally(sandbox=False)
    for event in events:
        tally(event)
    return tally


def changed(number: int, state: str) -> TakeChanged:
    return TakeChanged(at=0.0, take=TakeKey("door", number), external_id="x", state=state)


def ended(number: int, status: Status) -> TakeEnded:
    return TakeEnded(at=0.0, take=TakeKey("door", number), status=status, units=Decimal("0.25"))


BUSY: list[Event] = [
    RunStarted(at=0.0, takes=20, to_generate=17, kept=2, failed=1),
    *(changed(number, "in-flight") for number in range(1, 7)),
    changed(1, "generated"),
    changed(2, "downloading"),
    changed(3, "retrying"),
    ended(4, Status.SUCCEEDED),
    ended(5, Status.FAILED),
]


def test_every_take_is_counted_once() -> None:
    """What was in place before is done, what failed for good before has failed, and a retry waits again."""
    words = painted(tallied(BUSY).line(), io.StringIO())
    assert words == "1 in flight, 2 downloading, 12 waiting, 2 failed, 0.50 units"


class Counted:
    """A clock on which time passes at once, for so many waits."""

    def __init__(self, waits: int) -> None:
        self.waits = [0.0] * waits
        self.asked: list[float] = []

    def time(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        if len(self.asked) == len(self.waits):
            raise asyncio.CancelledError
        self.asked.append(seconds)


def test_a_heartbeat_is_a_line_every_thirty_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """A log shows that the run is alive, and where it stands."""
    clock = Counted(3)
    heartbeat = Heartbeat(clock, sandbox=False)
    for event in BUSY:
        heartbeat(event)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(heartbeat.beat())
    assert clock.asked == [30.0] * 3
    line = "3 of 20 takes done, 1 in flight, 2 downloading, 12 waiting, 2 failed, 0.50 units"
    assert capsys.readouterr().err.splitlines() == [line] * 3
