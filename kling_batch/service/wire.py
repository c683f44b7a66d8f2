"""The service's JSON, read without trust: any bytes become an outcome, never an exception.

Shapes are those of the official pages; where the files of a task stand, its kind says. The tolerance is for what was
seen in captures: `succeed` and `succeeded`, `{}` or nothing where a container is empty, durations and units as strings,
ids above 2^53.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from kling_batch.catalog import Kind, Output
from kling_batch.model import Audio, Task, TaskStatus
from kling_batch.service.codes import CODES, Reaction, reaction
from kling_batch.service.outcomes import (
    Absent,
    Created,
    CreateOutcome,
    Found,
    ListOutcome,
    MadePage,
    Page,
    QueryOutcome,
    ReadFailed,
    Refused,
    Unclear,
)

_STATUSES = {
    "submitted": TaskStatus.SUBMITTED,
    "processing": TaskStatus.PROCESSING,
    "succeed": TaskStatus.SUCCEEDED,
    "succeeded": TaskStatus.SUCCEEDED,
    **dict.fromkeys(("failed", "cancelled", "canceled", "expired"), TaskStatus.FAILED),
}
"""Read in any case. The last three are not documented; a task that will never go on must not be waited for."""
_SAYS_NOTHING = {Reaction.TROUBLE, Reaction.UNKNOWN, Reaction.SLOW_DOWN, Reaction.NO_ROOM}
"""Reactions to a read that may be repeated."""
_OK = range(200, 300)
_NO_SUCH_CALL = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
_LONGEST_MESSAGE = 500
_LONGEST_URL = 8_192
_LONGEST_NUMBER = 40
_MOST_ROWS = 1_000
"""Rows that are read of a page, which has 500 at most [official pages]."""
_MOST_AUDIOS = 100
"""Sounds that are read of a task: a kind makes a few."""
_SHORTEST_SECRET = 8
"""Characters. Real keys have 32; a shorter text stands in many that are no secret."""
ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""An opaque id, but one that can stand in a URL's path, in a database and in a file. 18 digits in captures."""
_DIGITS = re.compile(r"[0-9]{1,19}")
_LEAST, _MOST = -(2**63), 2**63 - 1
"""What SQLite holds as a number."""
_DECIMALS = 12
"""What a lock holds of a number of units."""
_YEAR_10000_MS = 253_402_300_800_000
"""From here on a time is no date any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Envelope:
    code: int
    message: str
    request_id: str | None
    data: Any


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An HTTP answer: its status, its body, and its `Date` header as Unix seconds where it has one.

    `secrets` are struck out of every text in it.
    """

    status: int
    body: bytes
    date: float | None = None
    secrets: tuple[str, ...] = ()

    @cached_property
    def envelope(self) -> _Envelope | None:
        """What every answer of the service has, read once; None where this is none."""
        try:
            body = struck_out(json.loads(self.body), self.secrets)
        except (ValueError, RecursionError):
            return None
        if not isinstance(body, dict) or (code := _whole_number(body.get("code"))) is None:
            return None
        return _Envelope(
            code=code,
            message=_text(body.get("message")) or "",
            request_id=_text(body.get("request_id")),
            data=body.get("data"),
        )


def read_create(reply: Reply, external_id: str, kind: Kind) -> CreateOutcome:
    """Classify the answer to a create call.

    A task that is named with somebody else's external id is no answer to our call: unclear.
    """
    envelope = reply.envelope
    if envelope is None:
        return Unclear(reason=f"HTTP {reply.status} with an answer that says nothing")
    if envelope.code != 0:
        refused = _refusal(envelope, reply.status)
        if refused.reaction is Reaction.TROUBLE:
            strange = reply.status in _OK and envelope.code not in CODES
            return Unclear(reason=f"{envelope.code}: {envelope.message}", code=envelope.code, strange=strange)
        return refused
    task = read_task(_named(envelope, kind), kind)
    if task is None:
        return Unclear(reason="accepted, but the answer names no task")
    if kind.external_id is not None and task.external_id not in {None, external_id}:
        return Unclear(reason="the answer names another call's task")
    return Created(task=task)


def _named(envelope: _Envelope, kind: Kind) -> Any:
    """Give the fields of a task that was made. An answer that is not to be had again is taken without an id as well."""
    if not kind.synchronous:
        return envelope.data
    data = _alone(envelope.data)
    lacks = isinstance(data, dict) and data.get("task_result") and not data.get("task_id")
    return {**data, "task_id": envelope.request_id} if lacks else data


def _alone(data: Any) -> Any:
    return data[0] if isinstance(data, list) and len(data) == 1 else data


def read_query(reply: Reply, wanted_id: str, kind: Kind) -> QueryOutcome:
    """Classify the answer to a query for one task, by its task id or by its external id.

    How an unknown id is answered is not documented: 404 with 1203, 400 with 1200 or 1201, and 200 with empty data are
    all read as absent; so is any 404 or 405 where no query is documented.
    """
    if kind.synchronous and reply.status in _NO_SUCH_CALL:
        return Absent()
    envelope = _read(reply)
    match envelope:
        case Refused(reaction=Reaction.ABSENT | Reaction.REFUSE_OR_EXISTS):
            return Absent()
        case Refused() | ReadFailed():
            return envelope
    data = _alone(envelope.data)
    if data is None or data in ({}, []):
        return Absent()
    task = read_task(data, kind)
    if task is None or not _answers(task, wanted_id):
        return ReadFailed(reason="the answer names another task, or none")
    return Found(task=task)


def _answers(task: Task, wanted_id: str) -> bool:
    """Whether an answer may be about the task that was asked for: one to an external id may leave it out.

    Whether such an answer can be believed is for `running.reconcile` to find out.
    """
    if wanted_id in {task.task_id, task.external_id}:
        return True
    return task.external_id is None and not wanted_id.isdigit()


def read_list(reply: Reply, kind: Kind) -> ListOutcome:
    """Classify the answer to a call for a page of tasks. Rows that cannot be read are counted and passed over."""
    rows = _rows(reply)
    if not isinstance(rows, list):
        return rows
    tasks = tuple(task for row in rows[:_MOST_ROWS] if (task := read_task(row, kind)) is not None)
    return Page(tasks=tasks, rows=len(rows))


def read_made(reply: Reply, kind: Kind) -> MadePage | Refused | ReadFailed:
    """Classify the answer to a call for a page of what tasks have made, such as voices: of each, the texts."""
    rows = _rows(reply)
    if not isinstance(rows, list):
        return rows
    results = [row.get("task_result") for row in rows[:_MOST_ROWS] if isinstance(row, dict)]
    made = [each for result in results for _, each in _made(result, kind)]
    texts = [{name: text for name, value in each.items() if (text := _text(value))} for each in made]
    return MadePage(made=tuple(texts), rows=len(rows))


def _rows(reply: Reply) -> list[Any] | Refused | ReadFailed:
    envelope = _read(reply)
    if not isinstance(envelope, _Envelope):
        return envelope
    rows = [] if envelope.data is None or envelope.data == {} else envelope.data
    return rows if isinstance(rows, list) else ReadFailed(reason="the answer is no list of tasks")


def read_deleted(reply: Reply) -> Absent | Refused | ReadFailed:
    """Classify the answer to a deletion: what the service does not know is gone as well."""
    envelope = _read(reply)
    match envelope:
        case _Envelope() | Refused(reaction=Reaction.ABSENT):
            return Absent()
        case _:
            return envelope


def read_data(reply: Reply) -> Mapping[str, Any] | Refused | ReadFailed:
    """Classify the answer to any other read, and hand over its data."""
    envelope = _read(reply)
    if not isinstance(envelope, _Envelope):
        return envelope
    if not isinstance(envelope.data, dict):
        return ReadFailed(reason="the answer carries no data")
    return envelope.data


def read_callback(body: bytes, secrets: Iterable[str]) -> Mapping[str, Any] | None:
    """Read what the service tells of its own accord: the fields of a task, also where they stand in an envelope.

    None where it is no JSON object. `secrets` are struck out.
    """
    try:
        fields = struck_out(json.loads(body), secrets)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    data = fields.get("data")
    return data if isinstance(data, dict) and "task_id" not in fields else fields


def _read(reply: Reply) -> _Envelope | Refused | ReadFailed:
    """Tell the answer to a read that was accepted from one that says no, and from one that says nothing."""
    envelope = reply.envelope
    if envelope is None:
        return ReadFailed(reason=f"HTTP {reply.status} with an answer that says nothing")
    if envelope.code != 0:
        refused = _refusal(envelope, reply.status)
        says_nothing = refused.reaction in _SAYS_NOTHING
        return ReadFailed(reason=f"{refused.code}: {refused.message}", code=refused.code) if says_nothing else refused
    return envelope if reply.status in _OK else ReadFailed(reason=f"HTTP {reply.status} with code 0")


def code_of(reply: Reply) -> int | None:
    """Read the code alone."""
    return reply.envelope.code if reply.envelope else None


def struck_out(value: Any, secrets: Iterable[str]) -> Any:
    """Give a text, or what was read from JSON, without these secrets, also where they are escaped as in a URL."""
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in (secret, quote(secret, safe=""))}
    # Looked through in C: a page of the list has thousands of texts, and hardly ever a secret.
    text = json.dumps(value, ensure_ascii=False)
    found = [form for form in forms if json.dumps(form)[1:-1] in text]
    return _without(value, sorted(found, key=len, reverse=True)) if found else value


def _without(value: Any, texts: Sequence[str]) -> Any:
    match value:
        case str():
            for text in texts:
                value = value.replace(text, "***")
            return value
        case list():
            return [_without(each, texts) for each in value]
        case dict():
            return {_without(name, texts): _without(each, texts) for name, each in value.items()}
        case _:
            return value


def _refusal(envelope: _Envelope, http_status: int) -> Refused:
    return Refused(
        code=envelope.code,
        reaction=reaction(envelope.code, http_status),
        message=envelope.message,
        request_id=envelope.request_id,
    )


def read_task(data: Any, kind: Kind) -> Task | None:
    """Read a task from its fields; None where they name none. A synchronous call that names files has ended."""
    if not isinstance(data, dict):
        return None
    task_id = data.get("task_id")
    if isinstance(task_id, int) and not isinstance(task_id, bool):
        task_id = str(task_id)
    if not isinstance(task_id, str) or not ID.fullmatch(task_id):
        return None
    status = _STATUSES.get((_text(data.get("task_status")) or "submitted").casefold(), TaskStatus.PROCESSING)
    audios = tuple(_audios(data.get("task_result"), kind))
    if kind.synchronous and not status.ended and any(audio.urls for audio in audios):
        status = TaskStatus.SUCCEEDED
    info = data.get("task_info")
    external = _text(info.get("external_task_id")) if isinstance(info, dict) else None
    return Task(
        task_id=task_id,
        external_id=external or _text(data.get("external_task_id")) or None,
        status=status,
        message=_text(data.get("task_status_msg")) or "",
        audios=audios,
        units=_decimal(data.get("final_unit_deduction")),
        created_ms=_time_ms(data.get("created_at")),
        updated_ms=_time_ms(data.get("updated_at")),
    )


def _made(result: Any, kind: Kind) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give what a finished task has made, from the lists in which its kind has it, with their names."""
    for name in dict.fromkeys(output.result for output in kind.outputs.values()):
        rows = result.get(name) if isinstance(result, dict) else None
        for row in rows[:_MOST_AUDIOS] if isinstance(rows, list) else ():
            if isinstance(row, dict):
                yield name, row


def _audios(result: Any, kind: Kind) -> Iterator[Audio]:
    for name, row in _made(result, kind):
        outputs = {form: output for form, output in kind.outputs.items() if output.result == name}
        yield _audio(row, outputs, kind.makes.id if kind.makes else "id")


def _audio(row: Mapping[str, Any], outputs: Mapping[str, Output], id_field: str) -> Audio:
    fields = {name: (output.url, f"url_{name}", f"{name}_url") for name, output in outputs.items()}
    urls = {
        name: url for name, told in fields.items() if (url := next(filter(None, map(_text, map(row.get, told))), None))
    }
    lengths = {name: _decimal(row.get(output.length)) for name, output in outputs.items() if output.length}
    return Audio(
        id=_text(row.get(id_field)) or "",
        urls=urls,
        durations_s={name: float(length) for name, length in lengths.items() if length is not None},
    )


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    value = value[: _LONGEST_URL if value.startswith(("http://", "https://")) else _LONGEST_MESSAGE]
    return value if value.isprintable() else "".join(char if char.isprintable() else " " for char in value)


def _whole_number(value: Any) -> int | None:
    """Read a number that may stand as text, if it has at most 64 bits."""
    written_so = isinstance(value, str) and _DIGITS.fullmatch(value)
    whole = isinstance(value, float) and math.isfinite(value) and value.is_integer()
    if written_so or whole or (isinstance(value, int) and not isinstance(value, bool)):
        number = int(value)
        return number if _LEAST <= number <= _MOST else None
    return None


def _time_ms(value: Any) -> int | None:
    number = _whole_number(value)
    return number if number is not None and 0 <= number < _YEAR_10000_MS else None


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    text = str(value)
    return _number(text) if len(text) <= _LONGEST_NUMBER else None


@lru_cache(maxsize=1024)
def _number(text: str) -> Decimal | None:
    """Read a number, to the decimals that a lock holds; most takes have the same price and one of few lengths."""
    try:
        number = Decimal(text)
    except (InvalidOperation, ValueError):
        return None
    if not number.is_finite() or not 0 <= number < 1_000_000:  # noqa: PLR2004 - far above any price
        return None
    return abs(round(number, _DECIMALS)).normalize()
