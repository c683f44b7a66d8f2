"""The sandbox behind real sockets: the API on one port, the result files on another, as they are two hosts in life."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from kling_batch.errors import UsageError
from kling_batch.sandbox.clips import Synth
from kling_batch.sandbox.faults import Rule
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import WorldSettings
from kling_batch.sandbox.wire import Loss, Request, Response, compact
from kling_batch.sandbox.world import World

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LEDGER_PATH = "/sandbox/ledger"
SETTINGS_PATH = "/sandbox/settings"

_CHUNK = 65_536
_GRACE_S = 1
_HOST = "127.0.0.1"


class SandboxApp:
    """An ASGI application over a world. It runs on one event loop, so that the world's calls come one by one.

    Args:
        world: The service.
        file_port: Calls to this port are for the file host; all others are for the API.
    """

    def __init__(self, world: World, file_port: int) -> None:
        self.world = world
        self._file_port = file_port
        self._connections: dict[tuple[str, int], asyncio.Transport] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or do not, as the world decides."""
        request = await _request(scope, receive)
        answer = await self._answer(request, scope)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.loss is not None:
            await self._lose(answer.loss, scope, receive)
            return
        await _send_answer(answer, request.method, send)
        if answer.cut_at is not None:
            await self._lose(Loss.CLOSED, scope, receive)

    def protocol(self) -> type[asyncio.Protocol]:
        """Make the protocol class that tells this application about its connections, so that it can drop them."""
        connections = self._connections

        class Droppable(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
            def connection_made(self, transport: asyncio.Transport) -> None:
                self._peer = transport.get_extra_info("peername")
                connections[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.pop(self._peer, None)
                super().connection_lost(exc)

        return Droppable

    async def _answer(self, request: Request, scope: Scope) -> Response:
        if scope["server"][1] == self._file_port:
            found = self.world.find_file(request)
            if isinstance(found, Response):
                return found
            data = await asyncio.to_thread(self.world.bytes_of, found)
            return self.world.serve_file(request, found, data)
        if request.path == LEDGER_PATH and request.method == "GET":
            self.world.settle()
            return _plain(200, self.world.ledger.as_json())
        if request.path == SETTINGS_PATH and request.method == "POST":
            return self._change_settings(request)
        return self.world.handle(request)

    def _change_settings(self, request: Request) -> Response:
        try:
            self.world.apply(scenario_of(json.loads(request.body)))
        except UsageError as error:
            return _plain(400, {"error": error.message, "hint": error.hint})
        except ValueError as error:
            return _plain(400, {"error": f"The body is not JSON: {error}"})
        return _plain(200, {"changed": True})

    async def _lose(self, loss: Loss, scope: Scope, receive: Receive) -> None:
        """Break the connection, or keep silent until the client does."""
        transport = self._connections.get(tuple(scope["client"]))
        if transport is not None and loss is not Loss.SILENCE:
            if loss is Loss.RESET:
                _reset_on_close(transport)
                transport.abort()
            else:
                transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Have the peer see a reset instead of an orderly end: linger for no time at all."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


async def _request(scope: Scope, receive: Receive) -> Request:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


async def _send_answer(answer: Response, method: str, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.cut_at is None and not answer.bytes_per_s:
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
        return
    whole = answer.body if answer.cut_at is None else answer.body[: answer.cut_at]
    pace = answer.bytes_per_s
    step = max(1, min(_CHUNK, int(pace / 10))) if pace else _CHUNK
    for start in range(0, len(whole), step):
        chunk = whole[start : start + step]
        if pace:
            await asyncio.sleep(len(chunk) / pace)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if answer.cut_at is None:
        await send({"type": "http.response.body", "body": b""})


def _plain(status: int, value: Any) -> Response:
    body = compact(value)
    return Response(
        status=status,
        headers={"content-type": "application/json; charset=utf-8", "content-length": str(len(body))},
        body=body,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio's TCP_NODELAY wants it named
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The sandbox cannot listen on {host}:{port}: {error.strerror}.",
            hint="Another program may be using the port: give another one with --port, or 0 for any that is free.",
        ) from error
    return listener


class SandboxServer:
    """A sandbox on two listening sockets. `url` is what `KLING_BASE_URL` wants; it works from the beginning on.

    Args:
        settings: As for `World`; `file_base_url` is replaced with the file host's address here.
        host: The address to listen on.
        port: The API's port; 0 takes one that is free. The file host takes any that is free.
        rules: The faults to inject.
        synth: Makes the sound files; the real one when None.
        now: The service's clock, in Unix seconds.

    Raises:
        UsageError: The address or port cannot be had.
    """

    def __init__(
        self,
        settings: WorldSettings,
        *,
        host: str = _HOST,
        port: int = 0,
        rules: tuple[Rule, ...] = (),
        synth: Synth | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sockets = [_listen(host, port), _listen(host, 0)]
        api_port, file_port = (listener.getsockname()[1] for listener in self._sockets)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{api_port}"
        settings = replace(settings, file_base_url=f"http://{shown}:{file_port}")
        self.world = World(settings, now=now, rules=rules, synth=synth)
        app = SandboxApp(self.world, file_port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=app.protocol(),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
                timeout_keep_alive=75,
            )
        )

    def run(self) -> None:
        """Serve until `stop` is called or, on the main thread, until the process is told to end."""
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(self._server.serve(sockets=self._sockets))

    def stop(self) -> None:
        """Let `run` return. May be called from any thread."""
        self._server.should_exit = True


def serve(
    settings: WorldSettings,
    *,
    host: str = _HOST,
    port: int = 0,
    rules: tuple[Rule, ...] = (),
    synth: Synth | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serve a sandbox until the process is interrupted. `ready` is called with its URL once it can be called.

    Raises:
        UsageError: The address or port cannot be had.
    """
    server = SandboxServer(settings, host=host, port=port, rules=rules, synth=synth)
    ready(server.url)
    server.run()


@contextlib.contextmanager
def running_server(
    settings: WorldSettings,
    *,
    rules: tuple[Rule, ...] = (),
    synth: Synth | None = None,
    now: Callable[[], float] = time.time,
) -> Iterator[SandboxServer]:
    """Serve a sandbox on a free port of this machine, from a thread, for as long as the context lasts."""
    server = SandboxServer(settings, rules=rules, synth=synth, now=now)
    thread = threading.Thread(target=server.run, name="sandbox", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
