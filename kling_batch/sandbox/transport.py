"""The sandbox behind an `httpx` client in this process: no socket, and no time but the clock's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import httpx

from kling_batch.clock import Clock
from kling_batch.sandbox.settings import API_BASE_URL
from kling_batch.sandbox.wire import Loss, Request, Response
from kling_batch.sandbox.world import World

Offload = Callable[[Callable[[], bytes]], Awaitable[bytes]]
"""Runs a slow function: `asyncio.to_thread` for users, `inline` where everything must stay on one thread."""

_CHUNK = 65_536


async def inline(make: Callable[[], bytes]) -> bytes:
    """Run it here and now."""
    return make()


class SandboxTransport(httpx.AsyncBaseTransport):
    """Answers for the API host and the file host of a world; to any other host there is no connection.

    Delays and slow bodies pass on `clock`, and a read timeout that the client asked for is kept on it too.
    """

    def __init__(
        self, world: World, clock: Clock, *, offload: Offload = inline, api_base_url: str = API_BASE_URL
    ) -> None:
        self._world = world
        self._clock = clock
        self._offload = offload
        self._api_host = urlsplit(api_base_url).netloc
        self._file_host = urlsplit(world.settings.file_base_url).netloc

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail as a network does."""
        host = request.url.netloc.decode()
        if host not in {self._api_host, self._file_host}:
            raise httpx.ConnectError(f"the sandbox has no host {host}", request=request)
        asked = Request(
            method=request.method,
            path=request.url.path,
            query=dict(request.url.params),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.aread(),
        )
        answer = await self._file(asked) if host == self._file_host else self._world.handle(asked)
        await self._travel(answer, request)
        return httpx.Response(
            status_code=answer.status, headers=dict(answer.headers), stream=_Body(answer, self._clock, request)
        )

    async def _file(self, asked: Request) -> Response:
        found = self._world.find_file(asked)
        if isinstance(found, Response):
            return found
        return self._world.serve_file(asked, found, await self._offload(lambda: self._world.bytes_of(found)))

    async def _travel(self, answer: Response, request: httpx.Request) -> None:
        """Let the answer take its time, and lose it where that is its fate."""
        timeout_s = request.extensions.get("timeout", {}).get("read")
        endless = answer.loss is Loss.SILENCE
        if timeout_s is not None and (endless or answer.delay_s > timeout_s):
            await self._clock.sleep(timeout_s)
            raise httpx.ReadTimeout("the sandbox did not answer in time", request=request)
        if answer.delay_s:
            await self._clock.sleep(answer.delay_s)
        if answer.loss is Loss.NEVER_OPENED:
            raise httpx.ConnectError("the sandbox took no connection", request=request)
        if answer.loss is Loss.CLOSED:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        if answer.loss is not None:
            raise httpx.ReadError("the sandbox broke the connection", request=request)


class _Body(httpx.AsyncByteStream):
    """A body that may come slowly, and may break off."""

    def __init__(self, answer: Response, clock: Clock, request: httpx.Request) -> None:
        self._answer = answer
        self._clock = clock
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer = self._answer
        whole = answer.body if answer.cut_at is None else answer.body[: answer.cut_at]
        for start in range(0, len(whole), _CHUNK):
            chunk = whole[start : start + _CHUNK]
            if answer.bytes_per_s:
                await self._clock.sleep(len(chunk) / answer.bytes_per_s)
            yield chunk
        if answer.cut_at is not None:
            raise httpx.RemoteProtocolError("the sandbox closed the connection in mid-body", request=self._request)
