"""Connections that are handed out one by one: never more than so many, used again, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from kling_batch.connections import Spread


class _Host(ThreadingHTTPServer):
    """A host that knows how many connections it was opened and how many requests it is answering."""

    opened = 0
    busy = 0
    busiest = 0
    daemon_threads = True


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Host

    def setup(self) -> None:
        super().setup()
        self.server.opened += 1

    def do_GET(self) -> None:
        self.server.busy += 1
        self.server.busiest = max(self.server.busiest, self.server.busy)
        self.server.busy -= 1
        if self.path == "/broken":
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"sound")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _serving() -> Iterator[_Host]:
    host = _Host(("127.0.0.1", 0), _Answer)
    thread = Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield host
    finally:
        host.shutdown()
        host.server_close()
        thread.join()


def _with_client(work: Callable[[httpx.AsyncClient, Spread], object], connections: int = 2) -> _Host:
    """Run coroutines against a host over so many connections."""

    async def call(host: _Host) -> None:
        transport = Spread(connections)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{host.server_port}") as client:
            await work(client, transport)  # type: ignore[misc]

    with _serving() as host:
        asyncio.run(call(host))
    return host


def test_no_more_connections_are_opened_than_there_are() -> None:
    """Fifty requests at once share two."""

    async def work(client: httpx.AsyncClient, _: Spread) -> None:
        answers = await asyncio.gather(*(client.get("/") for _ in range(50)))
        assert [answer.content for answer in answers] == [b"sound"] * 50

    host = _with_client(work)
    assert host.opened == 2
    assert host.busiest <= 2


def test_one_after_another_goes_over_one_connection() -> None:
    """The connection that was used last is used next."""

    async def work(client: httpx.AsyncClient, _: Spread) -> None:
        for path in ("/a", "/b", "/c", "/d"):
            await client.get(path)

    assert _with_client(work, connections=8).opened == 1


@pytest.mark.parametrize("ending", ["closed unread", "cut by the host", "cancelled"])
def test_a_connection_comes_back_however_its_request_ends(ending: str) -> None:
    """A lost one would be missed for ever."""

    async def work(client: httpx.AsyncClient, transport: Spread) -> None:
        if ending == "closed unread":
            response = await client.send(client.build_request("GET", "/"), stream=True)
            assert repr(transport) == "Spread(0 of 1 connections free)"
            await response.aclose()
            await response.aclose()
        elif ending == "cut by the host":
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/broken")
        else:
            task = asyncio.create_task(client.get("/"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert repr(transport) == "Spread(1 of 1 connections free)"
        assert (await client.get("/")).content == b"sound"

    _with_client(work, connections=1)
