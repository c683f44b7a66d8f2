"""The border to httpx: each of its exceptions is an outcome, on the right side of *not sent*."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from kling_batch.catalog import kind
from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService, api_client
from kling_batch.service.outcomes import NotSent, ReadFailed, Unclear

AUDIO = kind("text-to-audio")
NOTHING_SENT = {httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout}
"""Raised before there is a connection. Whatever else httpx raises may have come after the service read the call."""
NOT_OF_A_REQUEST = {httpx.CookieConflict}
"""Raised when a cookie is asked for by name, which the client never does."""


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    """Name a class and all that come from it."""
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


OF_HTTPX = {
    kind for name in httpx.__all__ if isinstance(kind := getattr(httpx, name), type) and issubclass(kind, Exception)
}
ROOTS: list[type[Exception]] = [httpx.HTTPError, httpx.InvalidURL, httpx.StreamError]
EVERY = sorted(set().union(*map(subclasses, ROOTS)) | (OF_HTTPX - NOT_OF_A_REQUEST), key=lambda kind: kind.__name__)


class Broken(httpx.AsyncBaseTransport):
    """Raises instead of sending."""

    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raise, whatever arguments this exception wants."""
        if issubclass(self.kind, httpx.HTTPStatusError):
            raise self.kind("no", request=request, response=httpx.Response(500))
        try:
            error = self.kind("no")
        except TypeError:
            error = self.kind()
        raise error


def test_the_walk_sees_what_httpx_has() -> None:
    """Its public exceptions, and those that stand behind them."""
    assert len(EVERY) > 20
    assert {httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.DecodingError, *NOTHING_SENT} <= set(EVERY)


@pytest.mark.parametrize("kind", EVERY)
def test_only_what_comes_before_a_connection_is_not_sent(ask: Any, kind: type[Exception]) -> None:
    """After anything else a create is unclear: to call it unsent is to pay twice."""
    outcome = ask(lambda service: service.create(AUDIO, {}, "kb-abc"), transport=Broken(kind))
    assert isinstance(outcome, NotSent if kind in NOTHING_SENT else Unclear)
    assert outcome.reason.startswith("cannot connect to " if kind in NOTHING_SENT else kind.__name__)


@pytest.mark.parametrize("kind", EVERY)
def test_a_read_that_broke_may_be_repeated(ask: Any, kind: type[Exception]) -> None:
    """Reading costs nothing."""
    assert isinstance(ask(lambda service: service.query(AUDIO, "kb-abc"), transport=Broken(kind)), ReadFailed)
    assert isinstance(ask(lambda service: service.page(AUDIO, 1, 30), transport=Broken(kind)), ReadFailed)


@pytest.mark.parametrize("kind", [RuntimeError, ZeroDivisionError])
def test_a_bug_is_not_taken_for_bad_weather(ask: Any, kind: type[Exception]) -> None:
    """What is not httpx's passes through."""
    with pytest.raises(kind):
        ask(lambda service: service.create(AUDIO, {}, "kb-abc"), transport=Broken(kind))


def test_the_effects_of_a_call_are_told_in_order() -> None:
    """Right before a call is sent, and right after its answer came: where a crash would matter."""
    effects: list[str] = []

    async def go() -> None:
        async with api_client(
            "http://localhost", httpx.MockTransport(lambda _: httpx.Response(500, stream=httpx.ByteStream(b"")))
        ) as http:
            await KlingService(http, Keys(api_key="k").signer(lambda: 0.0), probe=effects.append).create(AUDIO, {}, "a")

    asyncio.run(go())
    assert effects == ["send POST", "answer POST"]
