"""Workers that are processes on this machine. One that dies or hangs is replaced; others do its work.

They have no keys of the service, and end with the program that started them, however that ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import TypeVar

from kling_batch.disk import disk_border
from kling_batch.records.store_at import Place
from kling_batch.running.crew import Crew, WorkerLost

A = TypeVar("A")
R = TypeVar("R")

_KEYS = "KLING_"
_STDERR = 2


@asynccontextmanager
async def processes(number: int, place: Place, patience_s: float) -> AsyncIterator[Processes]:
    """Start processes, which end with the context, with whatever they are at; `patience_s` is as of `Processes`."""
    with (
        disk_border(Path(tempfile.gettempdir())),
        tempfile.TemporaryDirectory(prefix="kling-batch-", ignore_cleanup_errors=True) as folder,
    ):
        started = [_Process(f"process {n}", folder) for n in range(1, number + 1)]
        try:
            yield Processes(started, place, patience_s)
        finally:
            for process in started:
                process.end()


class Processes(Crew):
    """Processes of this program. One that is at one thing for longer than its patience hangs."""

    def __init__(self, started: Sequence[_Process], place: Place, patience_s: float) -> None:
        self.place, self.workers, self.at_once = place, len(started), 2 * len(started)
        self._patience_s = patience_s
        self._idle: asyncio.Queue[_Process] = asyncio.Queue()
        for process in started:
            self._idle.put_nowait(process)

    async def ask(self, function: Callable[[A], R], argument: A) -> tuple[R, str]:
        """See `Crew.ask`."""
        process = await self._idle.get()
        try:
            return await asyncio.wait_for(process.call(function, argument), self._patience_s), process.name
        except (BrokenExecutor, TimeoutError):
            process.renew()
            raise WorkerLost from None
        finally:
            self._idle.put_nowait(process)


class _Process:
    """A place for a process, which has its temporary files in a folder, and the one that has it by now."""

    def __init__(self, name: str, folder: str) -> None:
        self.name = name
        self._folder = folder
        self._start()

    def call(self, function: Callable[[A], R], argument: A) -> asyncio.Future[R]:
        """Have a function run; where the process is dead, `BrokenExecutor` comes of it."""
        return asyncio.wrap_future(self._executor.submit(function, argument))

    def renew(self) -> None:
        """Start another in the place of one that is dead or hangs."""
        self.end()
        self._start()

    def end(self) -> None:
        """End the process; it has nothing that could be lost."""
        self._process.kill()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._process.join()

    def _start(self) -> None:
        before = set(active_children())
        with _without_keys():
            self._executor = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_begin, initargs=(self._folder,)
            )
            self._executor.submit(os.getpid)  # which starts it
        [self._process] = set(active_children()) - before


@contextmanager
def _without_keys() -> Iterator[None]:
    """Take the service's keys out of the environment, which a process that is started takes over."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_KEYS)}
    try:
        yield
    finally:
        os.environ.update(kept)


def _begin(folder: str) -> None:
    """Begin a worker: leave signals to the program, end with it, and have decoders write nowhere."""
    tempfile.tempdir = folder
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(0)
