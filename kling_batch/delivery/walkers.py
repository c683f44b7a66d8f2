"""Where downloads happen: the clients for the file host. What they raise is thrown into the steps, which sort it.

For users each download has a thread and a connection of its own: a synchronous client needs half of an asynchronous
one's time, and what is fetched is checked and placed where it is, without a way back over the event loop. The sandbox
inside the process and the simulation answer on the event loop, over any clock.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar, assert_never

import httpx

from kling_batch.clock import Clock
from kling_batch.connections import line
from kling_batch.delivery.steps import Answer, Ask, Heavy, More, Pause, Step, Steps

T = TypeVar("T")

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def file_client(*, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Open an asynchronous client for the file host, without keys."""
    return httpx.AsyncClient(timeout=_TIMEOUT, transport=transport)


class _Course(Generic[T]):
    """How far a walk is: the step to take next, or None at the end, when there is the result."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self.result: T
        self._advance(lambda: next(steps))

    def send(self, reply: object) -> None:
        """Go on with what came of the step."""
        self._advance(lambda: self._steps.send(reply))

    def throw(self, error: BaseException) -> None:
        """Go on with what the step met."""
        self._advance(lambda: self._steps.throw(error))

    def _advance(self, go_on: Callable[[], Step]) -> None:
        self.step: Step | None
        try:
            self.step = go_on()
        except StopIteration as end:
            self.step, self.result = None, end.value

    def close(self) -> None:
        """Let the steps put down what they hold."""
        self._steps.close()


class LoopWalker:
    """Walks on the event loop.

    Args:
        client: A client without any credentials, as `file_client` opens it. Whoever opened it closes it.
        clock: Tells the time of pauses.
        offload: Calls what is heavy.

    Raises:
        ValueError: The client would send credentials to the file host.
    """

    def __init__(self, client: httpx.AsyncClient, clock: Clock, offload: Callable[..., Any]) -> None:
        if client.auth is not None or "authorization" in client.headers:
            raise ValueError("the client for the file host must not carry credentials")
        self._client = client
        self._clock = clock
        self._offload = offload

    def __repr__(self) -> str:
        return "LoopWalker()"

    async def walk(self, make: Callable[[], Steps[T]]) -> T:
        """See `Walker.walk`."""
        course, held = _Course(make()), _Held()
        try:
            while course.step is not None:
                try:
                    reply = await self._take(course.step, held)
                except BaseException as error:  # noqa: BLE001 - it belongs to the steps
                    course.throw(error)
                else:
                    course.send(reply)
            return course.result
        finally:
            course.close()
            await held.shut()

    async def _take(self, step: Step, held: _Held) -> object:
        match step:
            case Ask(url=url, headers=headers):
                await held.shut()
                request = self._client.build_request("GET", url, headers=headers)
                response = await self._client.send(request, stream=True, follow_redirects=False)
                held.response, held.chunks = response, response.aiter_raw()
                return Answer(status=response.status_code, headers=response.headers)
            case More():
                return await anext(held.chunks, None)
            case Pause(seconds=seconds):
                await held.shut()
                await self._clock.sleep(seconds)
                return None
            case Heavy(act=act):
                return await self._offload(act)
            case _:
                assert_never(step)


class _Held:
    """The answer that a walk on the loop reads from."""

    response: httpx.Response | None = None
    chunks: AsyncIterator[bytes]

    async def shut(self) -> None:
        response, self.response = self.response, None
        if response is not None:
            await response.aclose()


class ThreadWalker:
    """Walks on threads, one for each walk at once, up to `most`. Lives on one event loop.

    Their number grows with what is asked for, and with how long it takes: from a host that is near, walks side by side
    only take the interpreter from each other, which costs more than a request. A thread that hangs in the network, such
    as in a name server's silence, keeps nobody from leaving: it is left behind, and touches no disk any more.

    Args:
        most: How many downloads there may be at once; more of them wait.
        gap_s: How long a download must have gone on, in seconds, before another one begins beside it.
        grace_s: How long a cancelled download may take to put down what it holds, in seconds.
    """

    def __init__(self, most: int, *, gap_s: float = 0.015, grace_s: float = 5.0) -> None:
        self._gap_s = gap_s
        self._grace_s = grace_s
        self._threads = 0
        self._busy = 0
        self._room = asyncio.Semaphore(most)
        self._next = asyncio.Lock()
        self._began = 0.0
        self._ended = asyncio.Event()
        self._ended.set()
        self._walks: queue.SimpleQueue[_Walk[Any] | None] = queue.SimpleQueue()

    def __repr__(self) -> str:
        return f"ThreadWalker({self._busy} of {self._threads} threads busy)"

    async def walk(self, make: Callable[[], Steps[T]]) -> T:
        """See `Walker.walk`."""
        loop = asyncio.get_running_loop()
        async with self._room, self._one_more(loop):
            if self._threads < self._busy:
                threading.Thread(target=self._work, args=(line(),), name="download", daemon=True).start()
                self._threads += 1
            walk = _Walk(make, loop)
            self._walks.put(walk)
            return await walk.outcome(self._grace_s)

    @asynccontextmanager
    async def _one_more(self, loop: asyncio.AbstractEventLoop) -> AsyncIterator[None]:
        """Wait until the walk that began last has ended, or has gone on for a while."""
        async with self._next:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._began + self._gap_s):
                    await self._ended.wait()
            self._began = loop.time()
            self._ended = ended = asyncio.Event()
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            ended.set()

    def _work(self, connection: httpx.BaseTransport) -> None:
        with connection:
            while (walk := self._walks.get()) is not None:
                walk.run(connection)

    def close(self) -> None:
        """Let the threads end."""
        for _ in range(self._threads):
            self._walks.put(None)


class _Walk(Generic[T]):
    """One walk: made on the loop, run on a thread."""

    def __init__(self, make: Callable[[], Steps[T]], loop: asyncio.AbstractEventLoop) -> None:
        self._make = make
        self._loop = loop
        self._future: asyncio.Future[T] = loop.create_future()
        self._cancelled = threading.Event()
        self._left = False
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    async def outcome(self, grace_s: float) -> T:
        """Wait for the end. Where this is cancelled, so are the steps, and what they still have to do is waited for."""
        try:
            return await asyncio.shield(self._future)
        except asyncio.CancelledError:
            self._cancelled.set()
            self._break_off()
            done, _ = await asyncio.wait([self._future], timeout=grace_s)
            self._left = not done
            if done and not self._future.cancelled() and (error := self._future.exception()) is not None:
                raise error from None
            raise

    def _break_off(self) -> None:
        """Wake a thread that reads from the network."""
        response = self._response
        stream = response.extensions.get("network_stream") if response is not None else None
        connection = stream.get_extra_info("socket") if stream is not None else None
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def run(self, connection: httpx.BaseTransport) -> None:
        """Go through the steps, on this thread."""
        try:
            result = self._through(connection)
        except asyncio.CancelledError:
            self._tell(self._future.cancel)
        except BaseException as error:  # noqa: BLE001 - it is raised where the walk is waited for
            self._tell(self._future.set_exception, error)
        else:
            self._tell(self._future.set_result, result)

    def _tell(self, act: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(act, *args)

    def _through(self, connection: httpx.BaseTransport) -> T:
        course = _Course(self._make())
        try:
            while course.step is not None:
                try:
                    reply = None if self._cancelled.is_set() else self._take(course.step, connection)
                    failure = None
                except BaseException as error:  # noqa: BLE001 - it belongs to the steps
                    failure = error
                if self._left:
                    raise asyncio.CancelledError
                if self._cancelled.is_set():
                    course.throw(asyncio.CancelledError())
                elif failure is not None:
                    course.throw(failure)
                else:
                    course.send(reply)
            return course.result
        finally:
            course.close()
            self._shut()

    def _take(self, step: Step, connection: httpx.BaseTransport) -> object:
        match step:
            case Ask(url=url, headers=headers):
                self._shut()
                request = httpx.Request("GET", url, headers=headers, extensions={"timeout": _TIMEOUT.as_dict()})
                response = connection.handle_request(request)
                self._response, self._chunks = response, response.iter_raw()
                return Answer(status=response.status_code, headers=response.headers)
            case More():
                return next(self._chunks, None)
            case Pause(seconds=seconds):
                self._shut()
                self._cancelled.wait(seconds)
                return None
            case Heavy(act=act):
                return act()
            case _:
                assert_never(step)

    def _shut(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()
