"""What the command line takes from the environment: keys, address, and the user's cache folder."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from kling_batch.api.access import Access
from kling_batch.cli.output import say
from kling_batch.cli.progress import words_of
from kling_batch.clock import SystemClock
from kling_batch.errors import UsageError
from kling_batch.records.store import default_store_root
from kling_batch.running.reading import Reader
from kling_batch.service.client import KlingService
from kling_batch.service.outcomes import ReadFailed, Refused

T = TypeVar("T")

_PATIENCE_S = 20.0
"""How long a command that asks one thing waits for an answer."""


def own_access() -> Access:
    """Take keys and address from the environment.

    Raises:
        UsageError: The keys are missing, or the address would send them in the clear.
    """
    return Access.of(os.environ)


def own_store() -> Path:
    """Say where the store is when nobody says otherwise: in the user's cache folder.

    Raises:
        UsageError: There is no home folder.
    """
    try:
        home = Path.home()
    except RuntimeError:
        words = "There is no home folder in which to keep the store."
        raise UsageError(words, hint="Set HOME, name a store with --store, or do without one: --no-store.") from None
    return default_store_root(os.environ, platform=sys.platform, home=home)


def ask(call: Callable[[KlingService], Awaitable[T | Refused | ReadFailed]]) -> T:
    """Ask the service one thing, for a short while until there is an answer.

    Raises:
        AccountStop: The account has to be mended first.
        ServiceUnavailable: There was none.
        UsageError: The keys are missing.
    """
    access = own_access()

    async def go() -> T:
        service, http = access.service()
        async with http:
            return await reader_of(service).read(lambda: call(service))

    return asyncio.run(go())


def reader_of(service: KlingService) -> Reader:
    """Read for a short while, and say on stderr why it takes so long."""
    rng = random.Random()  # noqa: S311 - jitter of waits, no secret
    hint = "Look with kling-batch doctor at network, proxy and KLING_BASE_URL, or ask again later."
    observe = lambda event: say(words_of(event), err=True)  # noqa: E731
    return Reader(service, SystemClock(), rng, observe, patience_s=_PATIENCE_S, hint=hint)
