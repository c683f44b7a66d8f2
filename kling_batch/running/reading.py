"""Reads are free and harmless: they are repeated until they succeed or patience ends."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kling_batch.clock import Clock
from kling_batch.errors import AccountStop, KlingBatchError, NotFinished, ServiceUnavailable
from kling_batch.running.limits import wait_s
from kling_batch.service.codes import CODES, Reaction, hint, meaning
from kling_batch.service.outcomes import ReadFailed, Refused

T = TypeVar("T")

_STOPS = {Reaction.SIGN_AGAIN, Reaction.CHECK_CLOCK, Reaction.STOP_ACCOUNT}


def stop_for(refused: Refused) -> KlingBatchError | None:
    """Word the end of the run where a refusal means it: the account has to be mended, or the call is not known."""
    words = f"The service refused with {refused.code} ({meaning(refused.code)})"
    words += f": {refused.message}" if refused.message else "."
    words += f" [request {refused.request_id}]" if refused.request_id else ""
    if refused.reaction in _STOPS:
        return AccountStop(words, hint=hint(refused.code), code=refused.code, request_id=refused.request_id)
    if refused.reaction is Reaction.STOP_CLIENT:
        return NotFinished(words, hint=CODES[refused.code].hint)
    return None


async def insist(
    call: Callable[[], Awaitable[T | Refused | ReadFailed]], *, clock: Clock, rng: random.Random, patience_s: float
) -> T:
    """Repeat a read until it says something.

    Raises:
        AccountStop: The account has to be mended first.
        ServiceUnavailable: Nothing was learned for `patience_s` seconds.
    """
    began = clock.monotonic()
    failures = 0
    while True:
        outcome = await call()
        if isinstance(outcome, Refused) and (stop := stop_for(outcome)) is not None:
            raise stop
        if not isinstance(outcome, Refused | ReadFailed):
            return outcome
        failures += 1
        pause = wait_s(failures, rng.random())
        if clock.monotonic() + pause - began > patience_s:
            reason = outcome.reason if isinstance(outcome, ReadFailed) else f"{outcome.code}: {outcome.message}"
            raise ServiceUnavailable(
                f"The service could not be read for {patience_s:.0f} s: {reason}.",
                hint="Run the same command again later: it resumes. --patience sets how long it waits.",
            )
        await clock.sleep(pause)
