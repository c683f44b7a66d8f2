"""Workers: who does what is heavy in other processes or on other machines, with its bytes in a store."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TypeVar

from kling_batch.records.store_at import Place

A = TypeVar("A")
R = TypeVar("R")

_TRIES = 3
"""How often a thing is given to workers before it is done here."""


class WorkerLost(Exception):
    """A worker is dead or hangs, and what it had is given again."""


class Crew(ABC):
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

    @abstractmethod
    async def ask(self, function: Callable[[A], R], argument: A) -> tuple[R, str] | None:
        """Do so, once.

        Raises:
            WorkerLost: The one that had it did not answer.
        """


OpenCrew = Callable[[Callable[[str], None]], AbstractAsyncContextManager[Crew]]
"""Gives workers for as long as the context lasts, and takes who is told of what goes wrong with them.

Entering it raises `UsageError` where they are not fit for it, and `DiskUnusable` where the store cannot be used.
"""
