"""What is shown of a run, from events alone: counts, fields that fit, a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from decimal import Decimal

import pytest

from kling_batch.cli.bar import fields, fitting
from kling_batch.cli.progress import Heartbeat, Tally
from kling_batch.events import Event, RunStarted, TakeChanged, TakeEnded
from kling_batch.model import Status, TakeKey


def tallied(events: Iterable[Event]) -> Tally:
    tally = Tally()
    for event in events:
        tally(event)
    return tally


def changed(number: int, state: str) -> TakeChanged:
    return TakeChanged(at=0.0, take=TakeKey("door", number), external_id="x", state=state)


def ended(number: int, status: Status) -> TakeEnded:
    return TakeEnded(at=0.0, take=TakeKey("door", number), status=status, units=Decimal("0.25"))


BUSY = tallied(
    [
        RunStarted(at=0.0, takes=20, to_generate=17, kept=2, failed=1),
        *(changed(number, "in-flight") for number in range(1, 7)),
        changed(1, "generated"),
        changed(2, "downloading"),
        changed(3, "retrying"),
        ended(4, Status.SUCCEEDED),
        ended(5, Status.FAILED),
    ]
)


def test_every_take_is_counted_once() -> None:
    """What was in place before is done, what failed for good before has failed, and a retry waits again."""
    assert BUSY.line() == "3 done, 1 in flight, 2 downloading, 12 waiting, 2 failed, of 20 takes; 0.50 units"


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (120, "3/20 done, 1 in flight, 2 downloading, 12 waiting, 2 failed, 0.50 units, 15 s left, 1.0/s"),
        (70, "3/20 done, 1 in flight, 12 waiting, 2 failed, 0.50 units, 15 s left"),
        (50, "3/20 done, 1 in flight, 2 failed, 15 s left"),
        (35, "3/20 done, 1 in flight, 2 failed"),
        (22, "3/20 done, 1 in flight"),
        (21, ""),
    ],
)
def test_what_matters_most_is_kept_where_room_is_short(columns: int, shown: str) -> None:
    """A field is there as a whole or not at all."""
    assert fitting(fields(BUSY, ended=2, spent_s=2.0), columns) == shown


@pytest.mark.parametrize(
    ("spent_s", "told"), [(2.0, "15 s left, 1.0/s"), (60.0, "7:30 left, 2.0/min"), (600.0, "1:15:00 left, 0.2/min")]
)
def test_pace_and_time_left_are_in_units_that_can_be_read(spent_s: float, told: str) -> None:
    """Slow work is told by the minute, a long time by minutes and hours."""
    assert fitting(fields(BUSY, ended=2, spent_s=spent_s), 200).endswith(told)


def test_nothing_is_said_of_a_pace_before_anything_ended() -> None:
    """A guess is no figure."""
    assert "left" not in fitting(fields(BUSY, ended=0, spent_s=9.0), 200)


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
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Heartbeat(BUSY, clock).beat())
    assert clock.asked == [30.0] * 3
    assert capsys.readouterr().err.splitlines() == [BUSY.line()] * 3
