"""No answer takes more memory or time than it may, and none carries a secret further."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from kling_batch.catalog import kind
from kling_batch.service.auth import Keys
from kling_batch.service.client import CALL_TIMEOUT_S, LARGEST_ANSWER, KlingService, api_client
from kling_batch.service.outcomes import ReadFailed, Refused, Unclear
from kling_batch.service.wire import struck_out
from tests.chaos.virtual import Time, run_virtual

AUDIO = kind("text-to-audio")
KEY = 'a-key/with"odd\\characters+'
PAIR = Keys(access_key="the-access-key", secret_key="the-secret-key-of-at-least-32-bytes")
CALLS: dict[str, Callable[[KlingService], Any]] = {
    "create": lambda service: service.create(AUDIO, {}, "kb-abc"),
    "query": lambda service: service.query(AUDIO, "kb-abc"),
    "page": lambda service: service.page(AUDIO, 1, 30),
    "account": lambda service: service.account(1, 2),
}


class Pieces(httpx.AsyncByteStream):
    """A body without an end."""

    def __init__(self, piece: bytes, pause_s: float) -> None:
        self.piece = piece
        self.pause_s = pause_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(self.pause_s)
            yield self.piece


def asked(call: Callable[[KlingService], Any], answer: Callable[[httpx.Request], httpx.Response], keys: Keys) -> Any:
    """Make a call in virtual time; gives its outcome and how many seconds it took."""
    time = Time()

    async def go() -> Any:
        async with api_client("https://api.test", httpx.MockTransport(answer)) as http:
            return await call(KlingService(http, keys.signer(lambda: 0.0)))

    return run_virtual(time, go()), time.now


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("piece", "pause_s", "words"),
    [(b" ", 1.0, f"within {CALL_TIMEOUT_S:.0f} s"), (bytes(1 << 20), 0.0, f"more than {LARGEST_ANSWER} bytes")],
    ids=["a byte a second", "a megabyte at once"],
)
def test_an_answer_without_an_end_is_given_up(call: Any, piece: bytes, pause_s: float, words: str) -> None:
    """A create may have been carried out all the same: it is unclear."""
    outcome, seconds = asked(call, lambda _: httpx.Response(200, stream=Pieces(piece, pause_s)), PAIR)
    assert isinstance(outcome, Unclear if call is CALLS["create"] else ReadFailed)
    assert words in outcome.reason
    assert seconds <= CALL_TIMEOUT_S


def test_calls_that_wait_for_a_connection_are_not_late() -> None:
    """The time of a call begins when it is made: what waits behind slow ones was not sent, and is not unclear."""
    time = Time()

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(50)
        body = {
            "code": 0,
            "data": {"task_id": "7", "external_task_id": json.loads(request.content)["external_task_id"]},
        }
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))

    async def go() -> list[Any]:
        async with api_client("https://api.test", httpx.MockTransport(slow)) as http:
            service = KlingService(http, PAIR.signer(lambda: 0.0))
            return await asyncio.gather(*(service.create(AUDIO, {}, f"kb-{n}") for n in range(20)))

    assert not [outcome for outcome in run_virtual(time, go()) if isinstance(outcome, Unclear)]
    assert time.now == 150


def echo(words: str) -> dict[str, Any]:
    """Make a task with these words in every field."""
    audio = {"id": words, "url_wav": f"https://files.test/{words}", "url_mp3": f"https://files.test/?t={words}"}
    return {
        "task_id": words,
        "task_status": "failed",
        "task_status_msg": words,
        "task_info": {"external_task_id": words},
        "task_result": {"audios": [audio]},
        words: words,
    }


@pytest.mark.parametrize("keys", [Keys(api_key=KEY), PAIR], ids=["key", "pair"])
@pytest.mark.parametrize("code", [0, 1002, 1301, 5000])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_an_answer_repeats_of_a_secret_is_struck_out(call: Any, code: int, keys: Keys) -> None:
    """In whatever field, escaped or not: key, secret and token stand in no outcome."""
    sent: list[str] = [str(keys.api_key or keys.secret_key)]

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["authorization"].removeprefix("Bearer "))
        words = f"{sent[0]} and {sent[-1]}"
        rows = [echo(words), {**echo(words), "task_id": "7"}]
        data = rows if request.method == "GET" and request.url.query else rows[1]
        body = {"code": code, "message": words, "request_id": words, "data": data}
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))

    outcome, _ = asked(call, answer, keys)
    assert not [secret for secret in sent if secret in repr(outcome) or repr(secret)[1:-1] in repr(outcome)]
    if isinstance(outcome, Refused):
        assert "*** and ***" in outcome.message


def test_how_a_broken_answer_began_is_said_without_the_secret() -> None:
    """The HTTP library repeats a line that it cannot read."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError(f"illegal status line: {request.headers['authorization']}")

    outcome, _ = asked(CALLS["create"], broken, Keys(api_key="key-of-a-person"))
    assert outcome == Unclear(reason="RemoteProtocolError: illegal status line: Bearer ***")


@pytest.mark.parametrize("said", ["a-key%2Fwith%22odd%5Ccharacters%2B", KEY, f"x{KEY}{KEY}y"])
def test_a_secret_is_known_in_a_url_as_well(said: str) -> None:
    """Where its characters are escaped."""
    assert "odd" not in struck_out(said, [KEY])


def test_a_short_word_is_no_secret() -> None:
    """Real keys are long; a short one would take ids and words apart."""
    assert struck_out({"task_id": "kb-1"}, ["k"]) == {"task_id": "kb-1"}
