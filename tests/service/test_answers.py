"""What the service's answers are read as."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from kling_batch.catalog import kind
from kling_batch.model import Task, TaskStatus
from kling_batch.service import wire
from kling_batch.service.codes import Reaction
from kling_batch.service.outcomes import Absent, Created, Found, Page, ReadFailed, Refused, Unclear
from kling_batch.service.wire import Reply, code_of, read_data

OURS = "kb-abc"
AUDIO = kind("text-to-audio")
read_create = partial(wire.read_create, kind=AUDIO)
read_query = partial(wire.read_query, kind=AUDIO)
read_list = partial(wire.read_list, kind=AUDIO)
BIG = 804_296_831_530_094_592
"""A task id as they are: above 2^53, where a double would lose its last digits."""
TASK = {"task_id": str(BIG), "task_status": "submitted", "task_info": {"external_task_id": OURS}}
NO_JSON = {
    "empty": b"",
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
    "cut": b'{"code": 0, "data": {"task_id": "1',
    "no object": b'["code", 0]',
    "no code": b'{"message": "SUCCEED", "data": {"task_id": "1"}}',
    "code null": b'{"code": null}',
    "code true": b'{"code": true, "data": {"task_id": "1"}}',
    "code 0.5": b'{"code": 0.5}',
    "code in words": b'{"code": "zero"}',
    "code beyond 64 bits": b'{"code": 9223372036854775808}',
    "not UTF-8": b'{"code": 0, "message": "\xff"}',
    "deep": b"[" * 100_000,
    "deep in data": b'{"code": 0, "data": ' + b'{"a":' * 100_000,
    "a number too long": b'{"code": ' + b"9" * 5_000 + b"}",
}


def reply(body: Any, status: int = 200) -> Reply:
    """Make an answer; what is no bytes is sent as JSON."""
    return Reply(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def envelope(data: Any, **more: Any) -> dict[str, Any]:
    """Wrap data as the service does."""
    return {"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data, **more}


def refusal(code: int, message: str = "no") -> dict[str, Any]:
    """Make the body of a refusal."""
    return {"code": code, "message": message, "request_id": "r-2"}


def found(data: dict[str, Any]) -> Task:
    """Read the answer to a query, which has to be a task."""
    outcome = read_query(reply(envelope({"task_id": "7", **data})), "7")
    assert isinstance(outcome, Found)
    return outcome.task


@pytest.mark.parametrize("status", [200, 201, 500, 503])
def test_a_task_that_is_named_was_created(status: int) -> None:
    """Whatever the HTTP status says beside it: its id is known, and it may cost."""
    outcome = read_create(reply(envelope(TASK), status), OURS)
    assert isinstance(outcome, Created)
    assert outcome.task.task_id == str(BIG)
    assert outcome.task.external_id == OURS


@pytest.mark.parametrize("info", [{}, None, {"external_task_id": ""}, {"external_task_id": None}, [], "x"])
def test_a_created_task_need_not_repeat_our_id(info: Any) -> None:
    """Real answers leave `task_info` empty."""
    assert isinstance(read_create(reply(envelope({**TASK, "task_info": info})), OURS), Created)


@pytest.mark.parametrize(
    "data", [TASK | {"task_info": {"external_task_id": "kb-other"}}, {"task_id": "7", "external_task_id": "x"}]
)
def test_another_calls_task_is_no_answer_to_ours(data: dict[str, Any]) -> None:
    """Whether ours was made remains to be seen."""
    assert isinstance(read_create(reply(envelope(data)), OURS), Unclear)


@pytest.mark.parametrize("data", [None, {}, [], "x", 7, {"task_id": None}, {"task_id": ""}, {"task_id": True}, [TASK]])
def test_accepted_without_a_task_is_unclear(data: Any) -> None:
    """Code 0 says that something was made, and not what."""
    assert isinstance(read_create(reply(envelope(data)), OURS), Unclear)


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("status", [200, 400, 404, 502])
def test_an_answer_that_says_nothing_is_unclear_after_a_create(body: bytes, status: int) -> None:
    """A gateway may say 4xx for a call that was carried out: only a code refuses."""
    assert isinstance(read_create(reply(body, status), OURS), Unclear)


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_an_answer_that_says_nothing_teaches_a_read_nothing(body: bytes) -> None:
    """Least of all that a task is absent."""
    for outcome in (read_query(reply(body), "7"), read_list(reply(body)), read_data(reply(body))):
        assert isinstance(outcome, ReadFailed)
    assert code_of(reply(body)) is None


@pytest.mark.parametrize(
    ("code", "status", "reaction"),
    [
        (1301, 400, Reaction.REFUSE), (1301, 200, Reaction.REFUSE), (1303, 429, Reaction.NO_ROOM),
        (1201, 400, Reaction.REFUSE_OR_EXISTS), (1102, 429, Reaction.STOP_ACCOUNT), (1203, 404, Reaction.ABSENT),
        (4711, 400, Reaction.UNKNOWN),
    ],
)  # fmt: skip
def test_a_code_refuses_a_create(code: int, status: int, reaction: Reaction) -> None:
    """With its words and the id that the service's support asks for."""
    outcome = read_create(reply(refusal(code, "words"), status), OURS)
    assert outcome == Refused(code=code, reaction=reaction, message="words", request_id="r-2")


@pytest.mark.parametrize(
    ("code", "status"), [(5000, 500), (5001, 503), (5002, 504), (5000, 400), (1303, 500), (1004, 502), (4711, 200)]
)
def test_trouble_leaves_a_create_unclear(code: int, status: int) -> None:
    """Also where a code that refuses stands in a 5xx."""
    outcome = read_create(reply(refusal(code), status), OURS)
    assert isinstance(outcome, Unclear)
    assert outcome.code == code


@pytest.mark.parametrize("code", ["0", 0, 0.0])
def test_a_code_may_be_written_in_other_ways(code: Any) -> None:
    """As text, or with a decimal point."""
    assert isinstance(read_create(reply(envelope(TASK, code=code)), OURS), Created)


@pytest.mark.parametrize("message", [None, 7, {}, ["x"]])
def test_a_message_that_is_no_text_is_passed_over(message: Any) -> None:
    """The code decides, and words only explain."""
    outcome = read_create(reply({"code": 1301, "message": message, "request_id": message}, 400), OURS)
    assert outcome == Refused(code=1301, reaction=Reaction.REFUSE, message="", request_id=None)


def test_a_message_is_cleaned_for_the_terminal() -> None:
    """No control character moves a cursor, and no message fills a screen."""
    outcome = read_create(reply(refusal(1301, "a\x1b[31mb\nc\u202e" + "x" * 9_000), 400), OURS)
    assert isinstance(outcome, Refused)
    assert outcome.message.startswith("a [31mb c x")
    assert len(outcome.message) == 500


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("submitted", TaskStatus.SUBMITTED), ("processing", TaskStatus.PROCESSING), ("succeed", TaskStatus.SUCCEEDED),
        ("succeeded", TaskStatus.SUCCEEDED), ("failed", TaskStatus.FAILED), ("queued", TaskStatus.PROCESSING),
        ("", TaskStatus.SUBMITTED), (None, TaskStatus.SUBMITTED), (3, TaskStatus.SUBMITTED),
    ],
)  # fmt: skip
def test_a_status_is_read_in_both_spellings(word: Any, status: TaskStatus) -> None:
    """And a word that is not known means that the task has not ended: nothing is given up for it."""
    assert found({"task_status": word}).status is status


def test_a_failed_task_has_its_reason_and_no_sound() -> None:
    """As published: HTTP 200, code 0, empty containers."""
    task = found({"task_status": "failed", "task_status_msg": "Failure to pass", "task_info": {}, "task_result": {}})
    assert (task.status, task.message, task.audios) == (TaskStatus.FAILED, "Failure to pass", ())


def test_a_finished_task_is_read_whole() -> None:
    """Durations and units come as text, and durations are not those asked for."""
    row = {"id": "a1", "url_mp3": "https://f.test/a.mp3", "url_wav": "https://f.test/a.wav?k=" + "x" * 2_000,
           "duration_mp3": "5.1", "duration_wav": "5.041"}  # fmt: skip
    times = {"created_at": 1_722_769_557_708, "updated_at": 1_722_769_558_000}
    task = found({"task_status": "succeed", "task_result": {"audios": [row]}, "final_unit_deduction": "0.25", **times})
    assert task.audios[0].urls == {"mp3": row["url_mp3"], "wav": row["url_wav"]}
    assert task.audios[0].durations_s == {"mp3": 5.1, "wav": 5.041}
    assert task.units == Decimal("0.25")
    assert (task.created_ms, task.updated_ms) == (times["created_at"], times["updated_at"])


@pytest.mark.parametrize(
    "result", [None, {}, [], {"audios": None}, {"audios": {}}, {"audios": []}, {"audios": [None, 7]}, "x"]
)
def test_a_missing_result_is_no_sound(result: Any) -> None:
    """Missing, null and empty containers are one thing."""
    assert found({"task_status": "succeed", "task_result": result}).audios == ()


@pytest.mark.parametrize("row", [{}, {"url_mp3": None}, {"url_wav": ""}, {"url_wav": 7, "duration_wav": "long"}])
def test_a_sound_may_lack_anything(row: dict[str, Any]) -> None:
    """What is missing is missing, and the rest is kept."""
    (audio,) = found({"task_result": {"audios": [{"id": "a1", **row}]}}).audios
    assert (audio.id, audio.urls, audio.durations_s) == ("a1", {}, {})


@pytest.mark.parametrize(
    ("written", "units"),
    [("0.25", Decimal("0.25")), (0.25, Decimal("0.25")), (5, Decimal(5)), ("0", Decimal(0)), (None, None), ("", None),
     ("free", None), (True, None), ("NaN", None), ("Infinity", None), ("-1", None), ("1e9", None), ({}, None)],
)  # fmt: skip
def test_units_are_a_sane_number_or_not_said(written: Any, units: Decimal | None) -> None:
    """A figure that cannot be a price never enters a budget."""
    assert found({"final_unit_deduction": written}).units == units


@pytest.mark.parametrize("written", [None, -1, 10**15, 10**30, "soon", 1.5, [], True])
def test_a_time_that_is_none_is_not_said(written: Any) -> None:
    """Whoever shows it as a date must not stumble."""
    task = found({"created_at": written, "updated_at": written})
    assert (task.created_ms, task.updated_ms) == (None, None)


def test_an_id_above_2_to_the_53_keeps_every_digit() -> None:
    """As a number or as text."""
    for written in (BIG, str(BIG)):
        outcome = read_query(reply(envelope({"task_id": written})), str(BIG))
        assert isinstance(outcome, Found)
        assert outcome.task.task_id == str(BIG)


@pytest.mark.parametrize("task_id", ["../account", "a/b", "a?b", "a b", "\ud800", "ä", "a\n", ".", "..", "x" * 201])
def test_an_id_that_cannot_stand_in_a_path_is_none(task_id: str) -> None:
    """It would ask for something else, or break what stores it."""
    assert isinstance(read_create(reply(envelope({"task_id": task_id})), OURS), Unclear)
    assert isinstance(read_query(reply(envelope({"task_id": task_id})), task_id), ReadFailed)


@pytest.mark.parametrize(
    "answer",
    [
        reply(refusal(1203), 404),
        reply(refusal(1201), 400),
        reply(refusal(1200), 400),
        reply(envelope(None)),
        reply(envelope({})),
        reply(envelope([])),
        reply({"code": 0, "message": "SUCCEED"}),
    ],
)
def test_an_unknown_task_is_absent(answer: Reply) -> None:
    """How the service says so is not documented: every plausible way is understood."""
    assert read_query(answer, OURS) == Absent()


@pytest.mark.parametrize("wanted", [OURS, str(BIG)])
def test_a_task_is_found_by_either_id(wanted: str) -> None:
    """Alone, or as a list of one."""
    for data in (TASK, [TASK]):
        outcome = read_query(reply(envelope(data)), wanted)
        assert isinstance(outcome, Found)
        assert outcome.task.task_id == str(BIG)


def test_an_answer_to_an_external_id_may_leave_it_out() -> None:
    """The call named it, and nobody else's task has it."""
    assert isinstance(read_query(reply(envelope({"task_id": "7"})), OURS), Found)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [(TASK, "8"), (TASK, "kb-other"), ({"task_id": "7"}, "8"), ([TASK, TASK], OURS), ("x", OURS), ({"a": 1}, OURS)],
)
def test_another_task_is_no_answer(data: Any, wanted: str) -> None:
    """It neither finds ours nor proves it absent."""
    assert isinstance(read_query(reply(envelope(data)), wanted), ReadFailed)


@pytest.mark.parametrize(
    ("code", "status"), [(5000, 500), (5001, 503), (1203, 500), (1201, 502), (4711, 200), (0, 500), (0, 404)]
)
def test_trouble_is_not_absence(code: int, status: int) -> None:
    """A query that met trouble is repeated: to take it for absence is to pay twice."""
    assert isinstance(read_query(reply(refusal(code), status), OURS), ReadFailed)


@pytest.mark.parametrize(
    ("code", "reaction"), [(1102, Reaction.STOP_ACCOUNT), (1301, Reaction.REFUSE), (1202, Reaction.STOP_CLIENT)]
)
def test_a_read_can_be_refused(code: int, reaction: Reaction) -> None:
    """Every kind of read with the same reaction."""
    answer = reply(refusal(code), 429)
    for outcome in (read_query(answer, OURS), read_list(answer), read_data(answer)):
        assert isinstance(outcome, Refused)
        assert outcome.reaction is reaction


def test_a_page_has_its_tasks_in_their_order() -> None:
    """Rows that cannot be read are counted, since the number of rows tells whether another page follows."""
    outcome = read_list(reply(envelope([TASK, None, {"task_id": "9"}, {}, "x"])))
    assert isinstance(outcome, Page)
    assert [task.task_id for task in outcome.tasks] == [str(BIG), "9"]
    assert outcome.rows == 5


@pytest.mark.parametrize("data", [[], {}, None])
def test_a_page_may_be_empty(data: Any) -> None:
    """An empty list is sometimes an empty object."""
    assert read_list(reply(envelope(data))) == Page(tasks=(), rows=0)


@pytest.mark.parametrize(("data", "status"), [("x", 200), (TASK, 200), (7, 200), ([TASK], 500), ([], 503)])
def test_what_is_no_list_is_no_page(data: Any, status: int) -> None:
    """An account that looks empty by mistake would be paid for again."""
    assert isinstance(read_list(reply(envelope(data), status)), ReadFailed)


def test_other_reads_hand_over_their_data() -> None:
    """As it is, for who asked to read it."""
    assert read_data(reply(envelope({"code": 0, "packs": []}))) == {"code": 0, "packs": []}


@pytest.mark.parametrize(
    ("body", "status"), [(envelope([]), 200), (envelope(None), 200), (envelope({}), 500), (refusal(5000), 500)]
)
def test_other_reads_without_data_are_repeated(body: Any, status: int) -> None:
    """They are free."""
    assert isinstance(read_data(reply(body, status)), ReadFailed)
