"""The sandbox behind real sockets: the API on one port, the result files on another, as they are two hosts in life."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl

import uvicorn

from kling_batch.errors import UsageError
from kling_batch.sandbox.callbacks import Callback
from kling_batch.sandbox.clips import Synth
from kling_batch.sandbox.faults import Rule
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import WorldSettings
from kling_batch.sandbox.transport import callback_client, delivered
from kling_batch.sandbox.wire import Loss, Request, Response, compact
from kling_batch.sandbox.world import World

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LEDGER_PATH = "/sandbox/ledger"
SETTINGS_PATH = "/sandbox/settings"

_HOST = "127.0.0.1"
_RESET_ON_CLOSE = b"\x01\0\0\0\0\0\0\0"
"""SO_LINGER for no time at all: the peer sees a reset instead of an orderly end."""


class SandboxServer:
    """A sandbox on two listening sockets. `url` is what `KLING_BASE_URL` wants; it works from the beginning on.

    As a context manager it serves from a thread. It runs on one event loop, so that the world's calls come one by one.

    Args:
        settings: As for `World`; `file_base_url` is replaced with the file host's address here.
        port: The API's port; 0 takes one that is free. The file host takes any that is free.
        rules: The faults to inject.
        synth: Makes the sound files; the real one when None.
        now: The service's clock, in Unix seconds.

    Raises:
        UsageError: The port cannot be had.
    """

    def __init__(
        self,
        settings: WorldSettings,
        *,
        port: int = 0,
        rules: tuple[Rule, ...] = (),
        synth: Synth | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sockets = [_listen(port), _listen(0)]
        api_port, self._file_port = (listener.getsockname()[1] for listener in self._sockets)
        self.url = f"http://{_HOST}:{api_port}"
        settings = replace(settings, file_base_url=f"http://{_HOST}:{self._file_port}")
        self.world = World(settings, now=now, rules=rules, synth=synth)
        self._now = now
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self.run, name="sandbox", daemon=True)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._respond,
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=75,
            )
        )

    def run(self) -> None:
        """Serve until the context ends or, on the main thread, until the process is told to end."""
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with callback_client() as self._client:
            await self._server.serve(sockets=self._sockets)

    def _plan_news(self) -> None:
        """Wake up when there is something to tell next."""
        if self._timer is not None:
            self._timer.cancel()
        if self.world.next_news_at is not None:
            wait_s = max(0.0, self.world.next_news_at - self._now())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tell)

    def _tell(self) -> None:
        for callback in self.world.news():
            sending = asyncio.create_task(self._send(callback), name=f"callback to {callback.url}")
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        self._plan_news()

    async def _send(self, callback: Callback) -> None:
        if not await delivered(self._client, callback):
            self.world.ledger.callbacks["undelivered"] += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        for listener in self._sockets:  # uvicorn leaves them open where it is told to end as it begins
            listener.close()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or do not, as the world decides."""
        request = await _request(scope, receive)
        if scope["server"][1] == self._file_port:
            answer = await self.world.file(request, asyncio.to_thread)
        elif (request.method, request.path) == ("GET", LEDGER_PATH):
            self.world.settle()
            answer = _plain(200, self.world.ledger.as_json())
        elif (request.method, request.path) == ("POST", SETTINGS_PATH):
            answer = self._change_settings(request)
        else:
            answer = self.world.handle(request)
            self._plan_news()
        await asyncio.sleep(answer.delay_s)
        if answer.loss is None:
            await _send_answer(answer, send)
        loss = Loss.CLOSED if answer.cut_at is not None else answer.loss
        if loss is not None:
            await _lose(loss, receive, send)

    def _change_settings(self, request: Request) -> Response:
        try:
            self.world.apply(scenario_of(json.loads(request.body)))
        except UsageError as error:
            return _plain(400, {"error": error.message, "hint": error.hint})
        except ValueError as error:
            return _plain(400, {"error": f"The body is not JSON: {error}"})
        return _plain(200, {"changed": True})


async def _request(scope: Scope, receive: Receive) -> Request:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


async def _send_answer(answer: Response, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body, pace = answer.body[: answer.cut_at], answer.bytes_per_s
    step = int((pace or 0) / 10) or len(body) or 1
    for start in range(0, len(body), step):
        chunk = body[start : start + step]
        if pace:
            await asyncio.sleep(len(chunk) / pace)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if answer.cut_at is None:
        await send({"type": "http.response.body"})


async def _lose(loss: Loss, receive: Receive, send: Any) -> None:
    """Break the connection, or keep silent until the client does."""
    transport = send.__self__.transport  # ASGI has no word for this, so it is uvicorn's
    if loss is Loss.RESET:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    elif loss is not Loss.SILENCE:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def _plain(status: int, value: Any) -> Response:
    return Response(status=status, headers={"content-type": "application/json"}, body=compact(value))


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio's TCP_NODELAY wants it
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The sandbox cannot listen on {_HOST}:{port}: {error.strerror}.",
            hint="Another program may be using the port: give another one with --port, or 0 for any that is free.",
        ) from error
    return listener
