"""Reads are free and harmless: they are repeated until they succeed or patience ends."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kling_batch.clock import Clock
from kling_batch.errors import AccountStop, KlingBatchError, NotFinished, ReadRefused, ServiceStop, ServiceUnavailable
from kling_batch.running.limits import wait_s
from kling_batch.service.codes import CODES, Reaction, hint, meaning
from kling_batch.service.outcomes import ReadFailed, Refused

T = TypeVar("T")

_STOPS = {Reaction.SIGN_AGAIN, Reaction.CHECK_CLOCK, Reaction.STOP_ACCOUNT}
_LONGEST_TURN_S = 110.0
"""Longer than any call takes by its timeouts, with the pause before it: what is more was spent asleep."""


class Awake:
    """Counts the seconds for which this machine was awake: a laptop's sleep is no reason to lose patience.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic()
        self.seconds = 0.0

    def tick(self, at_most_s: float) -> float:
        """Count the time since the last tick, which took `at_most_s` at most unless the machine slept; give the sum."""
        now = self._clock.monotonic()
        self.seconds += min(now - self._last, at_most_s)
        self._last = now
        return self.seconds


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


async def insist(
    call: Callable[[], Awaitable[T | Refused | ReadFailed]], *, clock: Clock, rng: random.Random, patience_s: float
) -> T:
    """Repeat a read until it says something.

    Raises:
        AccountStop: The account has to be mended first.
        ReadRefused: The service refuses to be read, for good.
        ServiceUnavailable: Nothing was learned for `patience_s` seconds.
    """
    awake = Awake(clock)
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
        if awake.tick(_LONGEST_TURN_S) + pause > patience_s:
            raise ServiceUnavailable(
                f"The service could not be read for {patience_s:.0f} s: {outcome.reason}.",
                hint="Run the same command again later: it resumes. --patience sets how long it waits.",
            )
        await clock.sleep(pause)
