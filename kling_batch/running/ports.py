"""What a run is given: the world behind small interfaces."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from kling_batch.clock import Clock
from kling_batch.effects import Probe
from kling_batch.events import Observer
from kling_batch.records.account import AccountMemory
from kling_batch.records.journal import Journal
from kling_batch.records.store import Store
from kling_batch.running.crew import Crew
from kling_batch.running.uploads import Uploads
from kling_batch.service.callbacks import Callback
from kling_batch.service.client import Service

if TYPE_CHECKING:
    from kling_batch.delivery.download import Downloader

P = ParamSpec("P")
T = TypeVar("T")


class Offload(Protocol):
    """Runs a function that takes a while: on a thread for users, in line for the simulation."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run it and give what it returns."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """The world.

    `files` asks the file host, without a token. `callbacks` are what the service tells, where it does. `share` brings
    the lock to the team, where there is one; it blocks. `crew` are workers, where there are.
    """

    service: Service
    files: Downloader
    journal: Journal
    store: Store | None
    clock: Clock
    rng: random.Random
    offload: Offload
    probe: Probe
    observe: Observer
    callbacks: asyncio.Queue[Callback] | None = None
    share: Callable[[], None] | None = None
    crew: Crew | None = None


class Access(Protocol):
    """The service, and who asks it. `fingerprint` names both without giving the key away."""

    @property
    def fingerprint(self) -> str:
        """Name service and account."""
        ...

    @property
    def memory(self) -> AccountMemory:
        """What this machine knows of the account."""
        ...

    @property
    def uploads(self) -> Uploads | None:
        """Where files are put that the service shall read."""
        ...

    def open(self, journal: Journal, store: Store | None, observe: Observer) -> AbstractAsyncContextManager[Ports]:
        """Open the clients of a run."""
        ...
