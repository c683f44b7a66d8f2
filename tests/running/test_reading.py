"""Reads are repeated until they say something, for as long as patience lasts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from kling_batch.errors import AccountStop, NotFinished, ReadRefused, ServiceUnavailable
from kling_batch.running.reading import Patience, retry_read
from kling_batch.service.codes import reaction
from kling_batch.service.outcomes import Absent, ReadFailed, Refused

FAILED = ReadFailed(reason="no answer")


class Clock:
    """A clock that goes on when somebody sleeps by it; `oversleep_s` more on top, as on a laptop that was shut."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.oversleep_s = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.oversleep_s
        self.oversleep_s = 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


Insist = Callable[..., tuple[Any, int]]


@pytest.fixture
def ask(clock: Clock) -> Insist:
    """Insist on answers, the last of which comes for ever; gives what was said, and how often was asked."""

    def run(*answers: Any, patience_s: float = 100.0) -> tuple[Any, int]:
        asked: list[Any] = []

        async def call() -> Any:
            asked.append(answers[min(len(asked), len(answers) - 1)])
            return asked[-1]

        rng = random.Random(0)
        said = asyncio.run(retry_read(call, clock=clock, rng=rng, patience_s=patience_s))
        return said, len(asked)

    return run


def refused(code: int, http: int) -> Refused:
    """Make a refusal."""
    return Refused(code=code, reaction=reaction(code, http), message="no")


def test_a_read_that_failed_is_repeated(ask: Insist, clock: Clock) -> None:
    """With waits of a second and more, that double."""
    assert ask(FAILED, FAILED, FAILED, Absent()) == (Absent(), 4)
    assert 7.0 <= clock.now - 1000.0 <= 7.0 * 1.25


def test_patience_ends(ask: Insist, clock: Clock) -> None:
    """Before a wait that would go beyond it; the error names the option."""
    with pytest.raises(ServiceUnavailable, match="100 s: no answer") as ended:
        ask(FAILED)
    assert "--patience" in str(ended.value.hint)
    assert clock.now - 1000.0 <= 100.0


def test_a_machine_that_slept_has_its_patience_back(ask: Insist, clock: Clock) -> None:
    """Nothing could be learned while the lid was shut."""
    clock.oversleep_s = 5000.0
    assert ask(FAILED, FAILED, FAILED, Absent()) == (Absent(), 4)


def test_patience_is_not_renewed_by_a_busy_machine(clock: Clock) -> None:
    """A wait may take a moment longer than it was to; beyond that the machine slept."""
    patience = Patience(clock, 100.0)
    for late_s, left_s in ((0.2, 97.8), (0.3, 100.0)):
        began = clock.now
        clock.now += 2.0 + late_s
        patience.waited(began, 2.0)
        assert patience.left_s == pytest.approx(left_s)
    patience.renew()
    clock.now += 100.0
    assert patience.left_s <= 0


@pytest.mark.parametrize(
    ("code", "http", "error"),
    [(1002, 401, AccountStop), (1102, 429, AccountStop), (1202, 404, NotFinished), (1300, 400, ReadRefused)],
)
def test_a_read_that_is_refused_is_not_repeated(ask: Insist, clock: Clock, code: int, http: int, error: type) -> None:
    """A person has to mend it, and no wait does."""
    with pytest.raises(error, match=str(code)):
        ask(refused(code, http))
    assert clock.now == 1000.0
