"""Whatever the service answers, it is read as an outcome: never a traceback, and never a creation out of nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kling_batch.catalog import kind
from kling_batch.clock import iso
from kling_batch.model import Task
from kling_batch.service import wire
from kling_batch.service.outcomes import Absent, Created, Found, Page, ReadFailed, Refused, Unclear
from kling_batch.service.wire import Reply, code_of, read_data

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
