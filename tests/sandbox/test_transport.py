"""The sandbox behind an httpx client, on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from kling_batch.sandbox.settings import API_BASE_URL, SANDBOX_API_KEY
from kling_batch.sandbox.transport import SandboxTransport

PATH = "/v1/audio/text-to-audio"


def through(caller: Any, act: Callable[[httpx.AsyncClient], Awaitable[Any]], timeout: float = 30) -> Any:
    """Act with a client whose transport is the caller's world."""

    async def main() -> Any:
        transport = SandboxTransport(caller.world, caller.clock)
        headers = {"Authorization": f"Bearer {SANDBOX_API_KEY}"}
        async with httpx.AsyncClient(
            transport=transport, base_url=API_BASE_URL, headers=headers, timeout=timeout
        ) as client:
            return await act(client)

    return asyncio.run(main())


async def post(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(PATH, json={"prompt": "rain", "duration": 3.0, "external_task_id": "a"})


def test_both_hosts_answer(caller: Any) -> None:
    """The API and the files, over one transport."""

    async def act(client: httpx.AsyncClient) -> tuple[int, bytes]:
        await post(client)
        caller.clock.now += 10
        data = (await client.get(f"{PATH}/a")).json()["data"]
        listed = (await client.get(PATH, params={"pageNum": 1, "pageSize": 5})).json()["data"]
        assert listed == [data]
        reply = await client.get(data["task_result"]["audios"][0]["url_wav"], headers={"Range": "bytes=0-3"})
        return reply.status_code, reply.content

    assert through(caller, act) == (206, b"RIFF")


def test_there_is_no_other_host(caller: Any) -> None:
    """Nothing can leave by accident."""
    with pytest.raises(httpx.ConnectError, match=r"no host example\.com"):
        through(caller, lambda client: client.get("https://example.com/"))


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ("no-connection", httpx.ConnectError),
        ({"lost-after": "closed"}, httpx.RemoteProtocolError),
        ({"lost-after": "reset"}, httpx.ReadError),
        ({"lost-after": "timeout"}, httpx.ReadTimeout),
        ({"delay_s": 31}, httpx.ReadTimeout),
    ],
)
def test_losses_are_what_a_network_would_raise(a_caller: Any, do: Any, error: type[Exception]) -> None:
    """Each kind of loss is the exception that httpx has for it."""
    with pytest.raises(error):
        through(a_caller({"rules": [{"on": "create", "do": do}]}), post)


@pytest.mark.parametrize(
    ("do", "seconds"), [({"delay_s": 7}, 7), ({"delay_s": 100}, 30), ({"lost-after": "timeout"}, 30)]
)
def test_waiting_passes_on_the_clock(a_caller: Any, do: Any, seconds: float) -> None:
    """A delay takes its time, and no longer than the client's read timeout."""
    caller = a_caller({"rules": [{"on": "create", "do": do}]})
    start = caller.clock.now

    async def act(client: httpx.AsyncClient) -> None:
        try:
            await post(client)
        except httpx.ReadTimeout:
            assert seconds == 30

    through(caller, act)
    assert caller.clock.now - start == seconds


def test_a_cut_body_breaks_after_its_bytes(a_caller: Any) -> None:
    """The bytes before the cut arrive; then the connection is gone."""
    caller = a_caller({"rules": [{"do": {"cut": 1000}}]})
    url = caller.url()
    got = bytearray()

    async def act(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", url) as reply:
            async for chunk in reply.aiter_raw():
                got.extend(chunk)

    with pytest.raises(httpx.RemoteProtocolError):
        through(caller, act)
    assert len(got) == 1000


def test_a_slow_body_takes_its_time(a_caller: Any) -> None:
    """Bytes over pace are seconds."""
    caller = a_caller({"rules": [{"do": {"slow": 1000}}]})
    url = caller.url()
    start = caller.clock.now
    reply = through(caller, lambda client: client.get(url))
    assert caller.clock.now - start == pytest.approx(len(reply.content) / 1000)


def test_latency_passes_before_every_answer(a_caller: Any) -> None:
    """A setting, not a fault."""
    from kling_batch.sandbox.settings import Span

    caller = a_caller(latency=Span.fixed(0.25))
    start = caller.clock.now
    through(caller, post)
    assert caller.clock.now - start == 0.25
    assert caller.world.ledger.faults == {}


def test_clips_are_made_where_the_caller_says(caller: Any) -> None:
    """The slow part of a download goes through `offload`, once for a clip."""
    url, made = caller.url(), []

    async def offload(make: Callable[[], bytes]) -> bytes:
        made.append(make)
        return await asyncio.to_thread(make)

    async def main() -> int:
        async with httpx.AsyncClient(transport=SandboxTransport(caller.world, caller.clock, offload=offload)) as client:
            return (await client.get(url)).status_code

    assert asyncio.run(main()) == 200
    assert len(made) == 1
