"""Reads are repeated until they say something, for as long as patience lasts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, cast

import pytest

from kling_batch.errors import AccountStop, NotFinished, ReadRefused, ServiceUnavailable
from kling_batch.running.reading import Patience, Reader
from kling_batch.service.codes import reaction
from kling_batch.service.outcomes import Absent, ReadFailed, Refused
from tests.chaos.virtual import Time, VirtualClock, run_virtual

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


class Service:
    """Counts its answers."""

    def __init__(self) -> None:
        self.answers = 1


@pytest.fixture
def service() -> Service:
    return Service()


Ask = Callable[..., tuple[Any, int]]


@pytest.fixture
def ask(clock: Clock, service: Service) -> Ask:
    """Ask until there is an answer, the last of which comes for ever; gives what was said, and how often was asked."""

    def run(*answers: Any, patience_s: float | None = 100.0) -> tuple[Any, int]:
        asked: list[Any] = []

        async def call() -> Any:
            asked.append(answers[min(len(asked), len(answers) - 1)])
            return asked[-1]

        async def go() -> Any:
            reader = Reader(cast("Any", service), clock, random.Random(0), lambda _: None, patience_s=patience_s)
            return await reader.read(call)

        return asyncio.run(go()), len(asked)

    return run


def refused(code: int, http: int) -> Refused:
    """Make a refusal."""
    return Refused(code=code, reaction=reaction(code, http), message="no")


def test_a_read_that_failed_is_repeated(ask: Ask, clock: Clock) -> None:
    """With waits of a second and more, that double."""
    assert ask(FAILED, FAILED, FAILED, Absent()) == (Absent(), 4)
    assert 7.0 <= clock.now - 1000.0 <= 7.0 * 1.25


def test_patience_ends(ask: Ask, clock: Clock) -> None:
    """With a last try as it does; the error names the option."""
    with pytest.raises(ServiceUnavailable, match="100 s: no answer") as ended:
        ask(FAILED)
    assert "--patience" in str(ended.value.hint)
    assert clock.now - 1000.0 == pytest.approx(100.0)


@pytest.mark.parametrize(("answers", "asked_s", "lasts_s"), [(0, None, 30), (1, None, 900), (0, 5.0, 5), (1, 5.0, 5)])
def test_patience_is_short_before_the_first_answer(
    ask: Ask, clock: Clock, service: Service, answers: int, asked_s: float | None, lasts_s: float
) -> None:
    """Where nobody has ever answered, waiting mends nothing; what a person asked for counts all the same."""
    service.answers = answers
    with pytest.raises(ServiceUnavailable, match=f"{lasts_s} s"):
        ask(FAILED, patience_s=asked_s)
    assert clock.now - 1000.0 == pytest.approx(lasts_s)


@pytest.fixture
def told(service: Service) -> Callable[..., tuple[Any, list[str]]]:
    """Read in virtual time, with calls that take so long and fail so often; gives the outcome and what was said."""

    def run(takes_s: float, failures: int) -> tuple[Any, list[str]]:
        time, said = Time(), []
        clock = VirtualClock(time)
        began, left = clock.monotonic(), iter(range(failures))

        async def call() -> ReadFailed | Absent:
            await clock.sleep(takes_s)
            return Absent() if next(left, None) is None else FAILED

        async def go() -> Any:
            def observe(event: Any) -> None:
                said.append(f"{clock.monotonic() - began:.0f} s: {event.reason}, {event.seconds:.0f} s left")

            try:
                return await Reader(cast("Any", service), clock, random.Random(0), observe).read(call)
            except ServiceUnavailable as error:
                return error

        return run_virtual(time, go()), said

    return run


def test_it_is_told_why_nothing_is_learned(told: Any, service: Service) -> None:
    """After three seconds, with the time that is left."""
    service.answers = 0
    outcome, said = told(0.0, 1000)
    assert isinstance(outcome, ServiceUnavailable)
    assert said[:3] == ["3 s: no answer, 27 s left", "12 s: no answer, 18 s left", "21 s: no answer, 9 s left"]


def test_a_call_that_hangs_is_told_of_while_it_does(told: Any, service: Service) -> None:
    """Before the first answer, where the way may be blocked without a word."""
    service.answers = 0
    outcome, said = told(10.0, 1)
    assert outcome == Absent()
    assert said[:2] == ["3 s: the service has not answered so far, 27 s left", "12 s: no answer, 18 s left"]


def test_a_service_that_fell_silent_is_told_of_twice_a_minute(told: Any) -> None:
    """And not where one call in between failed."""
    assert told(0.0, 1) == (Absent(), [])
    _, said = told(0.0, 1000)
    assert said[:2] == ["4 s: no answer, 896 s left", "34 s: no answer, 866 s left"]


def test_a_machine_that_slept_has_its_patience_back(ask: Ask, clock: Clock) -> None:
    """Nothing could be learned while the lid was shut."""
    clock.oversleep_s = 5000.0
    assert ask(FAILED, FAILED, FAILED, Absent()) == (Absent(), 4)


def test_patience_is_not_renewed_by_a_busy_machine(clock: Clock) -> None:
    """A wait may take a moment longer than it was to; beyond that the machine slept."""
    patience = Patience(clock, lambda: 100.0)
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
def test_a_read_that_is_refused_is_not_repeated(ask: Ask, clock: Clock, code: int, http: int, error: type) -> None:
    """A person has to mend it, and no wait does."""
    with pytest.raises(error, match=str(code)):
        ask(refused(code, http))
    assert clock.now == 1000.0
