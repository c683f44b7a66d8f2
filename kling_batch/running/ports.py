"""What a run is given: the world behind small interfaces, and the options of the command line as values."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from kling_batch.clock import Clock
from kling_batch.delivery.steps import Walker
from kling_batch.effects import Probe
from kling_batch.events import Observer
from kling_batch.records.journal import Journal
from kling_batch.records.store import Store
from kling_batch.service.client import Service

P = ParamSpec("P")
T = TypeVar("T")


class Offload(Protocol):
    """Runs a function that takes a while: on a thread for users, in line for the simulation."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run it and give what it returns."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """The world. `files` asks the file host, without a token."""

    service: Service
    files: Walker
    journal: Journal
    store: Store | None
    clock: Clock
    rng: random.Random
    offload: Offload
    probe: Probe
    observe: Observer


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to run. Times are seconds; None means no limit, for concurrency `auto`.

    `newborn` tells that the service came to life with this run and holds nothing yet. `frozen`: only lock, disk and
    store are used; the service is asked nothing, and the lock is left as it is.
    """

    out: Path
    lock_path: Path
    concurrency: int | None = None
    max_units: Decimal | None = None
    poll_interval_s: float = 1.0
    settle_time_s: float = 20.0
    hold_unclear: bool = False
    retries: int = 2
    deadline_s: float | None = None
    patience_s: float = 900.0
    newborn: bool = False
    frozen: bool = False
