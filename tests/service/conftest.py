"""An API host on the loopback with knobs, and a client for it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService, api_client

NOW = 1_700_000_000.0
"""The time of the client's clock in these tests."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as the host got it. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        """The bearer token, without the word before it."""
        return self.headers["authorization"].removeprefix("Bearer ")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How the host answers. A `body` that is no bytes is sent as JSON; `cut_after` ends the connection early."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    says_nothing: bool = False


class Api:
    """The host. `then` scripts the next answers, the last of them for good; `calls` holds what came in."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.calls: list[Call] = []
        self._script: list[Answer] = []

    def then(self, *answers: Answer) -> None:
        """Answer the next calls so."""
        self._script.extend(answers)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one call."""
        parts = urlsplit(handler.path)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", "0")))
        query = dict(parse_qsl(parts.query))
        self.calls.append(Call(method=handler.command, path=parts.path, query=query, headers=headers, body=body))
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if answer.says_nothing or answer.cut_after is not None:
            handler.close_connection = True
        if answer.says_nothing:
            return
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        handler.send_response_only(answer.status)
        for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content[: answer.cut_after])


def _serve() -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.answer(self)

        def do_POST(self) -> None:
            found.answer(self)

        def do_CONNECT(self) -> None:
            found.answer(self)

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Api(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    yield from _serve()


@pytest.fixture
def another_host() -> Iterator[Api]:
    yield from _serve()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


Ask = Callable[..., Any]
PAIR = Keys(access_key="the-access-key", secret_key="the-secret-key-of-at-least-32-bytes")


@pytest.fixture
def pair() -> Keys:
    return PAIR


@pytest.fixture
def ask(api: Api) -> Ask:
    """Make one call with a client of its own; `seen` gets the service afterwards."""

    def run(
        call: Callable[[KlingService], Awaitable[Any]],
        *,
        keys: Keys = PAIR,
        base: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        seen: list[KlingService] | None = None,
    ) -> Any:
        async def go() -> Any:
            async with api_client(base or api.base, transport) as http:
                service = KlingService(http, keys.signer(lambda: NOW))
                if seen is not None:
                    seen.append(service)
                return await call(service)

        return asyncio.run(go())

    return run
