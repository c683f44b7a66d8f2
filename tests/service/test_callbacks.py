"""The receiver of callbacks: what it takes, and from whom."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from standardwebhooks import Webhook

from kling_batch.service.callbacks import LARGEST_BODY, MOST_CONNECTIONS, Address, Callback, listening

SECRET, OTHER = "whsec_c2VjcmV0LW9mLXRoZS1hY2NvdW50", "whsec_YW5vdGhlci1zZWNyZXQ="
TASK = b'{"task_id": "7", "task_status": "succeed"}'
T = TypeVar("T")
Talk = Callable[[bytes], Awaitable[bytes]]


def post(body: bytes, headers: str = "", length: int | None = None) -> bytes:
    """Write a request."""
    size = len(body) if length is None else length
    return f"POST /hook HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {size}\r\n\r\n".encode() + body


def signed(body: bytes, secret: str, *, ago_s: float = 0.0) -> bytes:
    """Write a request that is signed."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    signature = Webhook(secret).sign(msg_id="m1", timestamp=at, data=body.decode())
    names = {
        "Webhook-Id": "m1",
        "WEBHOOK-TIMESTAMP": str(int(at.timestamp())),
        "webhook-signature": f"v1a,x {signature}",
    }
    return post(body, "".join(f"{name}: {value}\r\n" for name, value in names.items()))


def heard(
    *requests: bytes, secrets: tuple[str, ...] = (), struck: tuple[str, ...] = ()
) -> tuple[list[int], list[Callback]]:
    """Send requests, one after the other. Gives the statuses of the answers, and what was taken."""

    async def go() -> tuple[list[int], list[Callback]]:
        address = await _free()
        async with listening(address, secrets, struck=lambda: struck) as inbox:
            statuses = [await _say(address, request) for request in requests]
            return statuses, [inbox.get_nowait() for _ in range(inbox.qsize())]

    return asyncio.run(go())


async def _free() -> Address:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return Address(url="https://x.test", host="127.0.0.1", port=port)


async def _say(address: Address, request: bytes) -> int:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request)
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize(
    "request_",
    [
        post(TASK),
        post(b'{"code": 0, "message": "SUCCEED", "data": ' + TASK + b"}"),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10;x=1\r\n" + TASK[:16] + b"\r\n"
        + f"{len(TASK) - 16:x}\r\n".encode() + TASK[16:] + b"\r\n0\r\n\r\n",
    ],
    ids=["bare", "in an envelope", "in chunks"],
)  # fmt: skip
def test_a_task_is_taken_as_it_comes(request_: bytes) -> None:
    """Bare, as the official pages have it; in an envelope, as one source has it; and as tunnels send it."""
    assert heard(request_) == ([200], [Callback(fields=json.loads(TASK), signed=False)])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/2\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (post(b"no json"), 400),
        (post(b"[1]"), 400),
        (post(b"[" * 100_000), 400),
        (post(b"", length=LARGEST_BODY + 1), 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_callback_is_refused(request_: bytes, status: int) -> None:
    """And the next one is taken."""
    assert heard(request_, post(TASK)) == ([status, 200], [Callback(fields=json.loads(TASK), signed=False)])


@pytest.mark.parametrize(
    ("by", "ago_s", "believed"),
    [(SECRET, 0, True), (OTHER, 0, True), (SECRET, 290, True), (SECRET, 310, False), (SECRET, -310, False),
     ("whsec_bm9ib2R5", 0, False)],
)  # fmt: skip
def test_a_signature_counts_for_five_minutes_by_any_of_the_secrets(by: str, ago_s: float, believed: bool) -> None:
    """Whatever the case of the headers; while a secret is replaced, both are valid."""
    statuses, came = heard(signed(TASK, by, ago_s=ago_s), secrets=(SECRET, OTHER))
    assert (statuses, [each.signed for each in came]) == ([200], [believed])


@pytest.mark.parametrize(
    "headers",
    [
        "webhook-id: a\r\n",
        "webhook-id: a\r\nwebhook-timestamp: x\r\nwebhook-signature: v1,x\r\n",
        "webhook-id: a\r\nwebhook-timestamp: NOW\r\nwebhook-signature: v1\r\n",
        "webhook-id: a\r\nwebhook-timestamp: NOW\r\nwebhook-signature: v1,?\r\n",
        "webhook-id: a\r\nwebhook-timestamp: inf\r\nwebhook-signature: v1,x\r\n",
    ],
)
def test_headers_that_are_no_signature_are_none(headers: str) -> None:
    """What they come with is a hint."""
    statuses, came = heard(post(TASK, headers.replace("NOW", f"{time.time():.0f}")), secrets=(SECRET,))
    assert (statuses, [each.signed for each in came]) == ([200], [False])


def test_a_body_that_was_changed_is_not_signed() -> None:
    """The signature is of every byte."""
    statuses, came = heard(signed(TASK, SECRET).replace(b'"7"', b'"8"'), secrets=(SECRET,))
    assert (statuses, [each.signed for each in came]) == ([200], [False])


def test_secrets_are_struck_out_of_what_comes() -> None:
    """A service that echoes a key in a message leaks it nowhere."""
    _, came = heard(post(b'{"task_id": "7", "task_status_msg": "key is sesame-open"}'), struck=("sesame-open",))
    assert came[0].fields["task_status_msg"] == "key is ***"


def test_whoever_is_slow_keeps_nobody_else_waiting() -> None:
    """So many may talk at once; the next is told to come again, and at the end all are hung up on."""

    async def go() -> tuple[int, int, bytes]:
        address = await _free()
        async with listening(address, (), struck=tuple) as inbox:
            slow = [await asyncio.open_connection(address.host, address.port) for _ in range(MOST_CONNECTIONS - 1)]
            for _, writer in slow:
                writer.write(b"POST / HTTP/1.1\r\nContent-")
            taken = await _say(address, post(TASK))
            slow.append(await asyncio.open_connection(address.host, address.port))
            refused = await _say(address, post(TASK))
            assert inbox.qsize() == 1
        left = await slow[0][0].read()
        for _, writer in slow:
            writer.close()
        return taken, refused, left

    taken, refused, _ = asyncio.run(go())
    assert (taken, refused) == (200, 503)
