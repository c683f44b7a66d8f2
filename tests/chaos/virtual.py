"""Time without waiting: an event loop whose clock jumps to the next timer as soon as nothing is left to do.

One thread, no sockets, no machine's clock: what runs here runs the same way every time.
"""

from __future__ import annotations

import asyncio
import inspect
import selectors
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

EPOCH = 1_790_000_000.0
"""Unix seconds at which every simulation begins."""
_LONGEST_S = 40 * 3600.0
"""Seconds of virtual time after which a simulation counts as one that never ends."""

T = TypeVar("T")


class Stuck(Exception):
    """Nothing is left to do and nothing is due, or it goes on for ever: on a real machine the program would hang."""


@dataclass(slots=True)
class Time:
    """How many seconds have passed since the simulation began. Goes on over several lives of the program."""

    now: float = 0.0


class VirtualClock:
    """The program's clock, over virtual time."""

    def __init__(self, time: Time) -> None:
        self._time = time

    def time(self) -> float:
        """See `Clock.time`."""
        return EPOCH + self._time.now

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._time.now

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)


class _Jump(selectors.SelectSelector):
    """Waits for nothing: where the loop would sleep until its next timer, the time is set forward to it."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is left to do and nothing is due, and the work is not done")
        if timeout > 0:
            self._time.now += timeout
        if self._time.now > _LONGEST_S:
            raise Stuck(f"still at work after {_LONGEST_S:.0f} s")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop over virtual time."""

    def __init__(self, time: Time) -> None:
        self._virtual = time
        super().__init__(_Jump(time))

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.now


def run_virtual(time: Time, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. What escapes the loop leaves everything as it stands at that instant."""
    loop = VirtualLoop(time)
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        result = loop.run_until_complete(main)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        _bury(loop)
        loop.close()
    return result


def _bury(loop: asyncio.AbstractEventLoop) -> None:
    """Close what was cut off in the middle, in the order of the tasks' names, so that nothing is left to complain."""
    for task in sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name):
        coroutine = task.get_coro()
        if not inspect.iscoroutine(coroutine):
            continue
        handed_over = []
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED and coroutine.cr_frame is not None:
            handed_over = [value for value in coroutine.cr_frame.f_locals.values() if inspect.iscoroutine(value)]
        for each in (coroutine, *handed_over):
            with suppress(BaseException):
                each.close()
