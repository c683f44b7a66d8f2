"""The sandbox behind an `httpx` client in this process: no socket, and no time but the clock's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx

from kling_batch.clock import Clock
from kling_batch.sandbox.callbacks import Callback
from kling_batch.sandbox.settings import API_BASE_URL
from kling_batch.sandbox.wire import Loss, Request, Response
from kling_batch.sandbox.world import Offload, World, inline

_CHUNK = 65_536
_LOST = {
    Loss.NEVER_OPENED: httpx.ConnectError,
    Loss.CLOSED: httpx.RemoteProtocolError,
    Loss.RESET: httpx.ReadError,
    Loss.SILENCE: httpx.ReadTimeout,
}
"""What a client sees of each kind of loss."""


class SandboxTransport(httpx.AsyncBaseTransport):
    """Answers for the API host and the file host of a world; to any other host there is no connection.

    Delays and slow bodies pass on `clock`, and a read timeout that the client asked for is kept on it too.
    """

    def __init__(self, world: World, clock: Clock, *, offload: Offload = inline) -> None:
        self._world = world
        self._clock = clock
        self._offload = offload
        self._api_host = urlsplit(API_BASE_URL).netloc
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
        if host == self._file_host:
            answer = await self._world.file(asked, self._offload)
        else:
            answer = self._world.handle(asked)
        await self._travel(answer, request)
        return httpx.Response(
            status_code=answer.status, headers=dict(answer.headers), stream=_Body(answer, self._clock, request)
        )

    async def _travel(self, answer: Response, request: httpx.Request) -> None:
        """Let the answer take its time, and lose it where that is its fate."""
        timeout_s = request.extensions.get("timeout", {}).get("read")
        endless = answer.loss is Loss.SILENCE
        if timeout_s is not None and (endless or answer.delay_s > timeout_s):
            await self._clock.sleep(timeout_s)
            raise httpx.ReadTimeout("the sandbox did not answer in time", request=request)
        if answer.delay_s:
            await self._clock.sleep(answer.delay_s)
        if answer.loss is not None:
            raise _LOST[answer.loss]("the sandbox lost the answer", request=request)


def callback_client() -> httpx.AsyncClient:
    """Open what callbacks are sent with. No proxy is asked: whoever listens is mostly on this machine."""
    return httpx.AsyncClient(timeout=10, trust_env=False)


async def delivered(client: httpx.AsyncClient, callback: Callback) -> bool:
    """Send a callback once, and say whether anybody took it."""
    try:
        await client.post(callback.url, headers=callback.headers, content=callback.body)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


class _Body(httpx.AsyncByteStream):
    """A body that may come slowly, and may break off."""

    def __init__(self, answer: Response, clock: Clock, request: httpx.Request) -> None:
        self._answer = answer
        self._clock = clock
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer = self._answer
        whole = answer.body[: answer.cut_at]
        for start in range(0, len(whole), _CHUNK):
            chunk = whole[start : start + _CHUNK]
            if answer.bytes_per_s:
                await self._clock.sleep(len(chunk) / answer.bytes_per_s)
            yield chunk
        if answer.cut_at is not None:
            raise httpx.RemoteProtocolError("the sandbox closed the connection in mid-body", request=self._request)
