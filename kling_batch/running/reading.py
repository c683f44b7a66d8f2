"""Reads are free and harmless: they are repeated until they succeed or patience ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from kling_batch.clock import Clock
from kling_batch.errors import AccountStop, KlingBatchError, NotFinished, ReadRefused, ServiceStop, ServiceUnavailable
from kling_batch.running.limits import wait_s
from kling_batch.service.codes import CODES, Reaction, hint, meaning
from kling_batch.service.outcomes import ReadFailed, Refused

T = TypeVar("T")

_STOPS = {Reaction.SIGN_AGAIN, Reaction.CHECK_CLOCK, Reaction.STOP_ACCOUNT}
_SLACK_S = 0.25
"""What a wait may take beyond its time on a busy machine. What is more, the machine or the process was asleep."""


class Patience:
    """How long nothing has moved. A laptop's sleep is no reason to lose it: it begins anew on waking.

    Args:
        clock: Tells the time.
        seconds: After so many it is lost.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._since = clock.monotonic()

    @property
    def left_s(self) -> float:
        """How many seconds are left; none or fewer: it is lost."""
        return self._since + self._seconds - self._clock.monotonic()

    def renew(self) -> None:
        """Begin anew: something moved."""
        self._since = self._clock.monotonic()

    def waited(self, began: float, seconds: float) -> float:
        """Take note of a wait, from `began` on the monotonic clock, that was to take so many seconds at most.

        Returns:
            For how many seconds the machine slept in it, as far as that can be told.
        """
        slept_s = self._clock.monotonic() - began - seconds
        if slept_s <= _SLACK_S:
            return 0.0
        self.renew()
        return slept_s


def words_of(refused: Refused) -> str:
    """Say what the service refused with."""
    words = f"The service refused with {refused.code} ({meaning(refused.code)})"
    words += f": {refused.message}" if refused.message else "."
    return words + (f" [request {refused.request_id}]" if refused.request_id else "")


def stop_for(refused: Refused) -> KlingBatchError | None:
    """Word the end of the run where a refusal means it: a person has to mend the account, or to look at the code."""
    if refused.reaction in _STOPS:
        return AccountStop(words_of(refused), hint=hint(refused.code), code=refused.code, request_id=refused.request_id)
    if refused.reaction is Reaction.STOP_CLIENT:
        return NotFinished(words_of(refused), hint=CODES[refused.code].hint)
    if refused.reaction is Reaction.UNKNOWN:
        return ServiceStop(
            words_of(refused),
            hint="Nothing was charged for it. Look up what the code means, mend that, and run again: it resumes.",
        )
    return None


async def retry_read(
    call: Callable[[], Awaitable[T | Refused | ReadFailed]], *, clock: Clock, rng: random.Random, patience_s: float
) -> T:
    """Repeat a read until it says something.

    Raises:
        AccountStop: The account has to be mended first.
        ReadRefused: The service refuses to be read, for good.
        ServiceUnavailable: Nothing was learned for `patience_s` seconds.
    """
    patience = Patience(clock, patience_s)
    failures = 0
    while True:
        outcome = await call()
        if isinstance(outcome, Refused) and (stop := stop_for(outcome)) is not None:
            raise stop
        if isinstance(outcome, Refused):
            raise ReadRefused(
                words_of(outcome), hint="Nothing is sent while tasks cannot be looked for; run again later."
            )
        if not isinstance(outcome, ReadFailed):
            return outcome
        failures += 1
        pause = wait_s(failures, rng.random())
        if pause > patience.left_s:
            raise ServiceUnavailable(
                f"The service could not be read for {patience_s:.0f} s: {outcome.reason}.",
                hint="Run the same command again later: it resumes. --patience sets how long it waits.",
            )
        began = clock.monotonic()
        await clock.sleep(pause)
        patience.waited(began, pause)


async def read_all(calls: Iterable[tuple[str, Coroutine[Any, Any, None]]]) -> None:
    """Make named reads side by side. The first failure ends the others and is raised alone, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, call in calls:
                group.create_task(call, name=name)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
