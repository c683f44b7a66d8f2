"""Whatever the service answers, it is read as an outcome: never a traceback, and never a creation out of nothing."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kling_batch.catalog import kind
from kling_batch.clock import iso
from kling_batch.delivery.answer import DownloadFailed, UrlRefused
from kling_batch.delivery.download import Downloader, file_client
from kling_batch.model import Task
from kling_batch.service import client, wire
from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService, api_client
from kling_batch.service.outcomes import Absent, Created, Found, Page, ReadFailed, Refused, Unclear
from kling_batch.service.wire import Reply, code_of, read_data
from tests.chaos.virtual import Time, VirtualClock, run_virtual

OURS = "kb-abc"
AUDIO = kind("text-to-audio")
read_create = partial(wire.read_create, kind=AUDIO)
read_query = partial(wire.read_query, kind=AUDIO)
read_list = partial(wire.read_list, kind=AUDIO)
FIELDS = [
    "task_id", "external_task_id", "task_status", "task_status_msg", "task_info", "task_result", "audios", "id",
    "url_mp3", "url_wav", "duration_mp3", "duration_wav", "final_unit_deduction", "created_at", "updated_at",
    "code", "message", "request_id", "data",
]  # fmt: skip
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1303, 2**63, -(2**63), 10**400, 1e308, 2**53 + 1])
WORDS = st.sampled_from(["succeed", "failed", OURS, "7", "0", "1e999999", "\ud800", "x" * 600, "https://f.test/\ud800"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)
TASKS = st.fixed_dictionaries(
    {"task_id": st.sampled_from(["7", 7, OURS])}, optional=dict.fromkeys(FIELDS[1:15], ANYTHING)
)
NEAR = st.fixed_dictionaries(
    {"code": st.sampled_from([0, "0", 1201, 5000])}, optional={"data": TASKS | st.lists(TASKS | ANYTHING, max_size=3)}
)
STATUSES = st.sampled_from([100, 200, 204, 302, 400, 401, 404, 429, 500, 503, 599])


def _sane(task: Task) -> None:
    """See that whatever keeps, sends or shows a task can do so."""
    assert task.task_id.isascii()
    for text in (task.message, task.external_id or "", *(url for audio in task.audios for url in audio.urls.values())):
        text.encode()
    for time_ms in (task.created_ms, task.updated_ms):
        iso(None if time_ms is None else time_ms / 1000)


def _read_all(reply: Reply) -> None:
    """Read an answer in every way, and see that each outcome is one of its kind."""
    created, found, page, data = read_create(reply, OURS), read_query(reply, OURS), read_list(reply), read_data(reply)
    assert isinstance(created, Created | Refused | Unclear)
    assert isinstance(found, Found | Absent | Refused | ReadFailed)
    assert isinstance(page, Page | Refused | ReadFailed)
    assert isinstance(data, Mapping | Refused | ReadFailed)
    if code_of(reply) is None:
        assert (type(created), type(found), type(page)) == (Unclear, ReadFailed, ReadFailed)
    if isinstance(created, Created):
        assert code_of(reply) == 0
        assert created.task.external_id in {None, OURS}
    tasks = [each.task for each in (created, found) if isinstance(each, Created | Found)]
    for task in [*tasks, *(page.tasks if isinstance(page, Page) else ())]:
        _sane(task)


@given(st.binary(max_size=300), STATUSES)
@settings(max_examples=150)
def test_any_bytes_are_an_outcome(body: bytes, status: int) -> None:
    """Proxies, gateways and cut connections send anything."""
    _read_all(Reply(status=status, body=body))


@given(ANYTHING, STATUSES)
@settings(max_examples=150)
def test_any_json_is_an_outcome(body: Any, status: int) -> None:
    """Well-formed nonsense, too."""
    _read_all(Reply(status=status, body=json.dumps(body).encode()))


@given(NEAR, STATUSES)
@settings(max_examples=200)
def test_any_envelope_is_an_outcome(body: Any, status: int) -> None:
    """And what is nearly right, with any value in any field."""
    _read_all(Reply(status=status, body=json.dumps(body).encode()))


LARGE: dict[str, bytes] = {
    "a number": b'{"code":0,"data":{"task_id":"7","final_unit_deduction":"0.%b"}}' % (b"0" * 8_000_000),
    "a whole number": b'{"code":0,"data":{"task_id":7%b}}' % (b"7" * 4_000),
    "words": b'{"code":0,"data":{"task_id":"7","task_status_msg":"%b"}}' % (b"\\u0000" * 1_300_000),
    "an address": b'{"code":0,"data":{"task_id":"7","task_result":{"audios":[{"url_wav":"https://%b"}]}}}'
    % (b"x" * 8_000_000),
    "sounds": b'{"code":0,"data":{"task_id":"7","task_result":{"audios":[%b{}]}}}' % (b"{}," * 500_000),
    "rows": b'{"code":0,"data":[%b{}]}' % (b'{"task_id":"7"},' * 150_000),
    "depth": b'{"code":0,"data":%b}' % (b"[" * 900 + b"]" * 900),
    "more depth": b'{"code":0,"data":%b' % (b'{"a":' * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
def test_no_answer_takes_long_or_leaves_much(body: bytes) -> None:
    """Of the largest answer that is read at all, a few rows, sounds and words are kept."""
    began = time.process_time()
    reply = Reply(status=200, body=body, secrets=("a-secret-of-this-service",))
    _read_all(reply)
    assert time.process_time() - began < 10
    page, found = read_list(reply), read_query(reply, "7")
    assert not isinstance(page, Page) or len(page.tasks) <= 1000
    if isinstance(found, Found):
        assert len(found.task.audios) <= 100
        assert len(repr(found.task)) < 50_000


def _asked(any_id: str) -> tuple[Any, list[httpx.URL]]:
    """Ask for a task; gives the outcome, and what was requested."""
    requested: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requested.append(request.url)
        return httpx.Response(404, stream=httpx.ByteStream(b'{"code":1203}'))

    async def go() -> Any:
        async with api_client("https://api.test/base", httpx.MockTransport(answer)) as http:
            return await KlingService(http, Keys(api_key="a-key").signer(lambda: 0.0)).query(AUDIO, any_id)

    return asyncio.run(go()), requested


@given(st.text(st.sampled_from("./%\\?#@:;ab7 \x00\ud800~"), max_size=9) | st.text(max_size=9))
@example("..")
@example(".")
@example("../../../account/costs")
@example("%2e%2e")
@example("a" * 201)
@settings(max_examples=100, deadline=None)
def test_no_id_steers_a_signed_call_elsewhere(any_id: str) -> None:
    """An id from a lock or from the service is asked for below the kind's path, or is known to be no task's."""
    outcome, requested = _asked(any_id)
    assert outcome == Absent()
    assert [url.raw_path for url in requested] in ([], [f"/base{AUDIO.path}/{any_id}".encode("ascii", "replace")])


@given(st.text(max_size=20) | st.from_regex(r"\A(https?|file|javascript)://[a-z.:@\[\]/?%-]{0,20}\Z"), st.booleans())
@example("http://a..b/", False)
@example("https://xn--/", True)
@example("http://[::1", True)
@settings(max_examples=150, deadline=None)
def test_any_address_of_a_file_is_an_outcome(address: str, redirected: bool) -> None:
    """From the service or from a redirect: nothing is raised, and no file comes of it."""

    def answer(request: httpx.Request) -> httpx.Response:
        if redirected and request.url.host == "files.test":
            return httpx.Response(302, headers=[(b"location", address.encode("utf-8", "replace"))])
        return httpx.Response(404)

    async def go() -> Any:
        async with file_client(transport=httpx.MockTransport(answer)) as http:
            files = Downloader(http, clock=VirtualClock(Time()), rng=random.Random(0))
            return await files.fetch("https://files.test/a" if redirected else address, Path("nowhere"), attempts=1)

    assert isinstance(run_virtual(Time(), go()), DownloadFailed | UrlRefused)


@given(
    st.text(st.characters(max_codepoint=255), max_size=30)
    | st.sampled_from(["Thu, 99 Foo 99999 99:99:99", "x" * 60_000])
)
@settings(max_examples=100, deadline=None)
def test_any_date_of_an_answer_is_one_or_none(date: str) -> None:
    """The clock is not set by what is no date."""
    assert isinstance(client._date(date), float | None)
