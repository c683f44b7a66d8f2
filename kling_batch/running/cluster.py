"""Workers of a Dask cluster, whose only door this is.

What a worker had that dies, Dask gives to others; one that hangs, or is of another version, is given nothing more. A
scheduler that goes away leaves the run to itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client, get_worker
from distributed.client import FutureCancelledError

from kling_batch import __version__
from kling_batch.disk import disk_border
from kling_batch.errors import DiskUnusable, KlingBatchError, UsageError
from kling_batch.records.store import Store
from kling_batch.records.store_at import Place
from kling_batch.running.crew import Crew, WorkerLost

A = TypeVar("A")
R = TypeVar("R")

AT_ONCE = 300
"""Things that a cluster is given at a time: its scheduler knows of no more, however large the set."""
_CONNECTS_S = 10.0
_CLOSES_S = 2.0
_LOOKS_S = 1.0
"""How long what is known of the workers holds."""
_COMES_S = 30.0
"""How long a cluster may take to have its first worker."""


@asynccontextmanager
async def cluster(address: str, place: Place, tell: Callable[[str], None], patience_s: float) -> AsyncIterator[Cluster]:
    """Connect to a scheduler, and have every worker show that it can do the work.

    Args:
        address: The scheduler's.
        place: The store, which workers have to reach under the same words.
        tell: Is told what goes wrong later, and where the cluster can be watched.
        patience_s: How long a worker may be at one thing before it hangs.

    Raises:
        UsageError: The cluster cannot be reached or has no workers, or they are of another version, or do not reach the
            store.
        DiskUnusable: The store cannot be used from here.
    """
    for name in ("distributed", "distributed.client", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client = Client(address, asynchronous=True, timeout=_CONNECTS_S, set_as_default=False)
    joined = Cluster(client=client, address=address, place=place, tell=tell, patience_s=patience_s)
    try:
        try:
            async with asyncio.timeout(2 * _CONNECTS_S):  # Dask's own does not end where somebody listens in silence
                await client
        except Exception as error:
            words = f"--workers {address}: no Dask scheduler answers there ({str(error) or type(error).__name__})."
            raise UsageError(words, hint=_ADDRESS_HINT) from error
        try:
            await joined.check()
        except OSError as error:
            raise UsageError(f"--workers {address}: its scheduler has gone ({error}).", hint=_ADDRESS_HINT) from error
        if client.dashboard_link:
            tell(f"Dask shows the workers at {client.dashboard_link}")
        yield joined
    finally:
        with suppress(Exception):
            await asyncio.wait_for(client.close(), _CLOSES_S)


@dataclass(kw_only=True, eq=False)
class Cluster(Crew):
    """Workers of a scheduler."""

    client: Client
    address: str
    place: Place
    tell: Callable[[str], None]
    patience_s: float
    at_once: int = AT_ONCE
    workers: int = 0
    _shunned: set[str] = field(default_factory=set, init=False)
    _is_alone: bool = field(default=False, init=False)
    _names: list[str] = field(default_factory=list, init=False)
    _looked: float = field(default=-inf, init=False)
    _answered: float = field(default=0.0, init=False)

    async def check(self) -> None:
        """Have every worker put something into the store and read it, and see from here that it is there."""
        try:
            await self.client.wait_for_workers(1, timeout=_COMES_S)
        except TimeoutError:
            words = f"--workers {self.address}: the cluster has no workers."
            raise UsageError(words, hint=f"Start some: dask worker {self.address}") from None
        store, token = self.place.open(), secrets.token_hex(16)
        names = list(await self._at_work())
        try:
            found = await asyncio.gather(*(self._trouble_of(name, token, store) for name in names))
        finally:
            with suppress(DiskUnusable):
                await asyncio.to_thread(store.remove, [_hash(token + name) for name in names])
        for name, trouble in zip(names, found, strict=True):
            if trouble is not None:
                words = f"--workers {self.address}: worker {name}: {trouble} (store {store.location})."
                raise UsageError(words, hint=_HINT)
        self.workers = len(names) - len(self._shunned)
        if not self.workers:
            raise UsageError(f"--workers {self.address}: no worker answers.", hint="Start them anew.")

    async def _trouble_of(self, name: str, token: str, store: Store) -> str | None:
        """Word what is wrong with a worker; None where all is well. One that says nothing is given nothing."""
        asked = self.client.run(_greet, self.place, token, workers=[name], on_error="return")
        try:
            said: Any = (await asyncio.wait_for(asked, _COMES_S))[name]
        except (TimeoutError, OSError, KeyError):
            self._shun(name, f"it has not answered for {_COMES_S:.0f} s")
            return None
        if isinstance(said, Exception):
            return f"cannot run kling-batch {__version__}: {said}"
        version, trouble = said
        if version != __version__:
            return f"has kling-batch {version}, and this is {__version__}"
        if trouble is None and not await asyncio.to_thread(store.has, _hash(token + name)):
            return "what the worker puts there is not to be seen from here"
        return str(trouble) if trouble is not None else None

    async def ask(self, function: Callable[[A], R], argument: A) -> tuple[R, str] | None:
        """See `Crew.ask`."""
        if self.client.status != "running":
            self._tell_alone("its scheduler is gone")
            return None
        try:
            if not (fit := await self._fit()):
                self._tell_alone("it has no workers any more")
                return None
            answer, name, version = await self._answer(function, argument, fit if self._shunned else None)
        except (FutureCancelledError, TimeoutError, OSError):
            raise WorkerLost from None
        except asyncio.CancelledError:  # Dask cancels its own waits, too, as where a worker goes with a result
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise WorkerLost from None
        if version != __version__:
            self._shun(name, f"it has kling-batch {version}, and this is {__version__}")
            raise WorkerLost
        return answer, name

    async def _fit(self) -> list[str]:
        """Name the workers that are given something, as of a moment ago."""
        if _now() - self._looked >= _LOOKS_S:
            try:
                self._names = list(await self._at_work())
            except TimeoutError:
                self._names = []
                self._tell_alone(f"its scheduler has not answered for {_CONNECTS_S:.0f} s")
            self._looked = _now()
        return [name for name in self._names if name not in self._shunned]

    async def _at_work(self) -> dict[str, Any]:
        """Say what each worker has."""
        found: dict[str, Any] = await asyncio.wait_for(self.client.processing(), _CONNECTS_S)
        return found

    async def _answer(self, function: Callable[[A], R], argument: A, fit: list[str] | None) -> tuple[R, str, str]:
        """Have a worker do it: any, or one of those named.

        Raises:
            TimeoutError: The worker that has it hangs, or none takes it.
            FutureCancelledError: The scheduler is gone.
        """
        future = self.client.submit(_as_worker, __version__, function, argument, pure=False, workers=fit)
        waiting = asyncio.ensure_future(future.result())
        had_by: str | None = None
        since = _now()
        try:
            while not (await asyncio.wait([waiting], timeout=self.patience_s / 2))[0]:
                at_work = await self._at_work()
                before, had_by = had_by, next((name for name, keys in at_work.items() if future.key in keys), None)
                if had_by != before:
                    since = _now()
                elif had_by is None:
                    since = max(since, self._answered)  # it waits its turn for as long as others are answered
                if _now() - since >= self.patience_s:
                    if had_by is not None:
                        self._shun(had_by, f"it has not answered for {self.patience_s:.0f} s")
                    raise TimeoutError
            self._answered = _now()
            answer: tuple[R, str, str] = waiting.result()
            return answer
        finally:
            waiting.cancel()
            future.release()

    def _shun(self, name: str, why: str) -> None:
        if name not in self._shunned:
            self._shunned.add(name)
            self.tell(f"Worker {name} is given nothing more: {why}.")

    def _tell_alone(self, why: str) -> None:
        if not self._is_alone:
            self._is_alone = True
            self.tell(f"The cluster at {self.address} does nothing more, since {why}: the run goes on alone.")


_ADDRESS_HINT = (
    "Start it (dask scheduler), or correct the address; tls:// needs certificates in Dask's configuration "
    "(distributed.comm.tls)."
)
_HINT = "Workers need this version of kling-batch, its extras, and the store's keys in their own environment."


def _hash(text: str) -> str:
    return sha256(text.encode("ascii")).hexdigest()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _greet(place: Place, token: str, *, dask_worker: Any) -> tuple[str, str | None]:
    """Show, on a worker, that it reads and writes the store: give its version, and what is wrong with the store."""
    own = token + dask_worker.address
    try:
        with disk_border(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
            path, store = Path(folder) / "token", place.open()
            path.write_text(own, encoding="ascii")
            store.put(path, _hash(own))
            there = store.fetch(_hash(own), path)
    except KlingBatchError as error:
        return __version__, error.message
    return __version__, None if there else "what the worker puts there cannot be read back"


def _as_worker(version: str, function: Callable[[A], R], argument: A) -> tuple[R | None, str, str]:
    """Do, on a worker, what it is given, unless it is of another version."""
    answer = function(argument) if version == __version__ else None
    return answer, str(get_worker().address), __version__
