"""Workers: who does what is heavy in other processes or on other machines, with its bytes in a store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from importlib.util import find_spec
from typing import TypeVar

from kling_batch.errors import UsageError
from kling_batch.records.store_at import Place

A = TypeVar("A")
R = TypeVar("R")

PATIENCE_S = 120.0
"""How long a worker may be at one thing."""
_TRIES = 3
"""How often a thing is given to workers before it is done here."""
_MOST = 64
"""Processes; more belong on several machines."""


class WorkerLost(Exception):
    """A worker is dead or hangs, and what it had is given again."""


class Crew:
    """Workers of one kind.

    `workers` is how many there are, `at_once` how much they are given at a time at most, and `place` the store.
    """

    place: Place
    workers: int
    at_once: int

    async def give(self, function: Callable[[A], R], argument: A) -> tuple[R, str] | None:
        """Have a function of a module run, and say who ran it; None where nobody could: then it is done here."""
        try:
            for _ in range(_TRIES):
                with suppress(WorkerLost):
                    return await self.ask(function, argument)
        except Exception:
            logging.getLogger(__name__).warning("A worker failed; the work is done here", exc_info=True)
        return None

    async def ask(self, function: Callable[[A], R], argument: A) -> tuple[R, str] | None:
        """Do so, once.

        Raises:
            WorkerLost: The one that had it did not answer.
        """
        raise NotImplementedError


OpenCrew = Callable[[Callable[[str], None]], AbstractAsyncContextManager[Crew]]
"""Gives workers for as long as the context lasts, and takes who is told of what goes wrong with them.

Entering it raises `UsageError` where they are not fit for it, and `DiskUnusable` where the store cannot be used.
"""


def crew_at(workers: str, place: Place) -> OpenCrew:
    """Say how to have workers. Nothing is started yet.

    Args:
        workers: What a person writes after `--workers`: a number of processes, or the address of a scheduler.
        place: The store, which they have to reach.

    Raises:
        UsageError: There can be none.
    """
    if workers.startswith(("tcp://", "tls://")):
        if find_spec("distributed") is None:
            raise UsageError(
                f"--workers {workers}: a cluster needs the extra `dask`, which is not installed.",
                hint="Install it: pip install 'kling-batch[dask]'",
            )
        return lambda tell: _cluster(workers, place, tell)
    if workers.isdecimal() and 1 <= int(workers) <= _MOST:
        return lambda _: _processes(int(workers), place)
    raise UsageError(
        f"--workers {workers}: this is neither a number of processes nor the address of a scheduler.",
        hint=f"Give a number from 1 to {_MOST}, or the address of a Dask scheduler such as tcp://scheduler:8786.",
    )


def _cluster(address: str, place: Place, tell: Callable[[str], None]) -> AbstractAsyncContextManager[Crew]:
    from kling_batch.running.cluster import cluster

    return cluster(address, place, tell, PATIENCE_S)


def _processes(number: int, place: Place) -> AbstractAsyncContextManager[Crew]:
    from kling_batch.running.processes import processes

    return processes(number, place, PATIENCE_S)
