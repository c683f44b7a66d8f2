"""Commands that ask the service one thing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kling_batch.cli.environment import own_access
from kling_batch.clock import SystemClock
from kling_batch.running.reading import insist
from kling_batch.service.client import KlingService
from kling_batch.service.outcomes import ReadFailed, Refused

T = TypeVar("T")

_PATIENCE_S = 20.0


def ask(call: Callable[[KlingService], Awaitable[T | Refused | ReadFailed]]) -> T:
    """Ask until there is an answer, for a short while.

    Raises:
        AccountStop: The account has to be mended first.
        ServiceUnavailable: There was none.
        UsageError: The keys are missing.
    """
    access = own_access()
    rng = random.Random()  # noqa: S311 - jitter of waits, no secret

    async def go() -> T:
        service, http = access.service()
        async with http:
            return await insist(
                lambda: call(service),
                clock=SystemClock(),
                rng=rng,
                patience_s=_PATIENCE_S,
            )

    return asyncio.run(go())
