"""Time as an argument: real for users, virtual for the simulation."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the program may ask of time. All figures are seconds."""

    def time(self) -> float:
        """Seconds since the Unix epoch: for tokens, records and people."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards: for waits and spans."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """See `Clock.time`."""
        return time.time()

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)


def lasting() -> float:
    """Seconds that never run backwards, and that go on while the machine sleeps, which Python's do not on Linux."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.clock_gettime(time.CLOCK_MONOTONIC) if sys.platform == "darwin" else time.monotonic()


def iso(seconds: float | None) -> str | None:
    """Write a Unix time as UTC with milliseconds, such as `2026-01-31T08:15:02.120Z`; None beyond the calendar."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None
