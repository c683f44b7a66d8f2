"""httpx's connections, without what it does around them, unless a proxy is set that needs it.

Its pool looks at every idle connection, with a system call each, whenever a request begins and whenever one ends: with
eight connections that is more work than the request. Here each connection is a pool of its own, a request takes
the one that was used last, and waits where all are taken. Its client adds redirects, cookies and ways to log in, none
of which is wanted here, for up to half of what a request costs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import cache
from urllib.request import getproxies

import httpx

_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1)


def spread(connections: int) -> httpx.AsyncBaseTransport:
    """Make a transport of so many connections, by way of the proxies that are set. It follows no redirect.

    Raises:
        ValueError: A proxy's address is none.
        ImportError: A proxy is of a kind that needs another library.
    """
    return _AsyncProxied(connections) if getproxies() else Spread(connections)


@cache
def certificates() -> ssl.SSLContext:
    """Read the certificates, once: it takes as long as some ten requests."""
    return httpx.create_ssl_context()


def line() -> httpx.BaseTransport:
    """Make one connection, for one thread, as `spread` makes many."""
    return _Proxied() if getproxies() else httpx.HTTPTransport(verify=certificates(), limits=_ONE)


class _Proxied(httpx.BaseTransport):
    """A connection through httpx's client: it knows which hosts a proxy is for."""

    def __init__(self) -> None:
        self._client = httpx.Client(verify=certificates(), limits=_ONE)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._client.send(request, stream=True, follow_redirects=False)

    def close(self) -> None:
        self._client.close()


class _AsyncProxied(httpx.AsyncBaseTransport):
    """Connections through httpx's client and its own pool."""

    def __init__(self, connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.AsyncClient(verify=certificates(), limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._client.send(request, stream=True, follow_redirects=False)

    async def aclose(self) -> None:
        await self._client.aclose()


class Spread(httpx.AsyncBaseTransport):
    """A transport of a fixed number of connections."""

    def __init__(self, connections: int) -> None:
        context = certificates()
        self._all = [httpx.AsyncHTTPTransport(verify=context, limits=_ONE) for _ in range(connections)]
        self._free = list(self._all)
        self._room = asyncio.Semaphore(connections)

    def __repr__(self) -> str:
        return f"Spread({len(self._free)} of {len(self._all)} connections free)"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection that nobody uses; it is free again when the answer is closed."""
        await self._room.acquire()
        connection = self._free.pop()
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            self._give_back(connection)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - it is an asynchronous transport's
        response.stream = _Lent(response.stream, self, connection)
        return response

    def _give_back(self, connection: httpx.AsyncHTTPTransport) -> None:
        self._free.append(connection)
        self._room.release()

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in self._all:
            await connection.aclose()


class _Lent(httpx.AsyncByteStream):
    """An answer that holds a connection until it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, owner: Spread, connection: httpx.AsyncHTTPTransport) -> None:
        self._stream = stream
        self._owner = owner
        self._connection: httpx.AsyncHTTPTransport | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                self._owner._give_back(connection)  # noqa: SLF001 - the two are one thing
