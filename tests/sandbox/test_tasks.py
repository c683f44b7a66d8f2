"""A task's life, the slots it holds, and the checks before it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kling_batch.sandbox.settings import Pack, Span

EPOCH_MS = 1_568_028_518_780


def test_create_answers_with_a_submitted_task(caller: Any) -> None:
    """A create call is answered with ids, `submitted`, and equal times."""
    reply = caller.create("kb-a").json()
    data = reply["data"]
    assert (reply["code"], reply["message"]) == (0, "SUCCEED")
    assert data["task_info"] == {"external_task_id": "kb-a"}
    assert data["task_status"] == "submitted"
    assert data["created_at"] == data["updated_at"] == int(caller.clock.now * 1000)
    assert "task_result" not in data


def test_task_ids_carry_the_time(caller: Any) -> None:
    """A task id has 18 digits, and its upper bits are its creation in milliseconds."""
    data = caller.create().json()["data"]
    assert len(data["task_id"]) == 18
    assert (int(data["task_id"]) >> 22) + EPOCH_MS == data["created_at"]


def test_statuses_move_with_time_alone(a_caller: Any) -> None:
    """A task is submitted while it queues, processing while it is made, and then succeeds."""
    caller = a_caller({"queue_s": 1, "generation_s": 2})
    caller.create()
    seen = []
    for _ in range(4):
        data = caller.query().json()["data"]
        seen.append((data["task_status"], data["updated_at"] - data["created_at"]))
        caller.clock.now += 1
    assert seen == [("submitted", 0), ("processing", 1000), ("processing", 1000), ("succeed", 3000)]


def test_a_finished_task_tells_files_lengths_and_units(caller: Any) -> None:
    """Success names a URL and a length for each format, and what was charged, all as text."""
    caller.create(duration=3.3)
    caller.clock.now += 10
    data = caller.query().json()["data"]
    (audio,) = data["task_result"]["audios"]
    assert (audio["duration_mp3"], audio["duration_wav"]) == ("3.300", "3.300")
    assert audio["url_mp3"].startswith("https://files.sandbox.invalid/audio/")
    assert data["final_unit_deduction"] == "0.25"


def test_a_failed_task_looks_like_a_success_of_the_call(a_caller: Any) -> None:
    """Failure is HTTP 200, code 0, an empty result, the reason in `task_status_msg`, and no charge."""
    caller = a_caller({"rules": [{"do": {"task-fails": "Failure to pass the risk control system"}}]})
    caller.create()
    caller.clock.now += 10
    reply = caller.query()
    data = reply.json()["data"]
    assert (reply.status, reply.json()["message"], data["task_status"]) == (200, "SUCCEED", "failed")
    assert data["task_status_msg"] == "Failure to pass the risk control system"
    assert (data["task_result"], data["final_unit_deduction"]) == ({}, "0")
    assert caller.world.ledger.charged == 0


def test_query_finds_by_either_id(caller: Any) -> None:
    """The path takes the task id or the external id."""
    task_id = caller.create("kb-a").json()["data"]["task_id"]
    assert caller.query("kb-a").json()["data"] == caller.query(task_id).json()["data"]


def test_an_empty_external_id_is_none(caller: Any) -> None:
    """An empty string counts as absent, and two of them are no duplicates."""
    caller.create("")
    assert caller.create("").json()["data"]["task_info"] == {}


def test_slots_are_held_from_create_to_end(a_caller: Any) -> None:
    """One task more than there is room for is refused with 1303, until one ends."""
    caller = a_caller({"concurrency": 2, "queue_s": 1, "generation_s": 1})
    assert [caller.create(name).status for name in "abc"] == [200, 200, 429]
    caller.clock.now += 1.9
    refused = caller.create("c").json()
    assert (refused["code"], refused["message"]) == (1303, "parallel task over resource pack limit")
    caller.clock.now += 0.2
    assert caller.create("c").status == 200
    assert caller.world.ledger.in_flight_max == 2


def test_a_failed_task_frees_its_slot(a_caller: Any) -> None:
    """A slot is free again when its task ends, well or badly."""
    caller = a_caller({"concurrency": 1, "rules": [{"do": "task-fails"}]})
    caller.create("a")
    caller.clock.now += 10
    assert caller.create("b").status == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": None}, "prompt can not be null"),
        ({"prompt": "  "}, "prompt can not be null"),
        ({"prompt": "x" * 201}, "200 characters"),
        ({"prompt": 7}, "prompt must be a string"),
        ({"duration": None}, "duration must be a number"),
        ({"duration": "5"}, "duration must be a number"),
        ({"duration": True}, "duration must be a number"),
        ({"duration": 2.9}, "between 3.0 and 10.0"),
        ({"duration": 10.1}, "between 3.0 and 10.0"),
        ({"duration": 3.14}, "one decimal"),
        ({"callback_url": 1}, "callback_url must be a string"),
        ({"model_name": "x"}, "unknown parameter: model_name"),
    ],
)
def test_parameters_are_checked(caller: Any, fields: dict[str, Any], words: str) -> None:
    """A field that is wrong is refused with 400 and 1201, and makes no task."""
    reply = caller.create(**fields)
    assert (reply.status, reply.json()["code"]) == (400, 1201)
    assert words in reply.json()["message"]
    assert caller.world.ledger.tasks == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(caller: Any, body: bytes) -> None:
    """What is no JSON object is refused with 400 and 1200."""
    reply = caller.call("POST", "/v1/audio/text-to-audio", body)
    assert (reply.status, reply.json()["code"]) == (400, 1200)


def test_all_71_durations_are_taken(a_caller: Any) -> None:
    """Every length from 3.0 to 10.0 with one decimal is legal."""
    caller = a_caller({"concurrency": 100})
    assert {caller.create(f"d{n}", duration=n / 10).status for n in range(30, 101)} == {200}


def test_checks_come_in_a_fixed_order(a_caller: Any) -> None:
    """Parameters come before the balance, that before the external id, and that before room."""
    caller = a_caller({"concurrency": 1}, balance_units=Decimal("0.5"))
    caller.create("a")
    codes = [caller.create("a", duration=1), caller.create("a"), caller.create("b")]
    assert [reply.json()["code"] for reply in codes] == [1201, 1201, 1303]
    caller.clock.now += 10
    caller.create("b")
    assert [caller.create("a").json()["code"], caller.create("c", duration=1).json()["code"]] == [1102, 1201]


def test_an_account_that_has_run_dry_says_so(a_caller: Any) -> None:
    """Without balance a create call is refused with 429, 1102 and the service's words."""
    caller = a_caller(balance_units=Decimal("0.25"))
    assert caller.create("a").status == 200
    reply = caller.create("b")
    assert (reply.status, reply.json()["message"]) == (429, "Account balance not enough")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/v1/audio/none", 1203), ("DELETE", "/v1/audio/text-to-audio", 1202), ("POST", "/account/costs", 1202)],
)
def test_unknown_calls_are_refused(caller: Any, method: str, path: str, code: int) -> None:
    """A path that does not exist gets 1203; a method that a path does not know gets 1202."""
    assert caller.call(method, path).json()["code"] == code


def test_account_lists_packs_and_leaves_out_none(a_caller: Any) -> None:
    """The packs are told with their status; without any, the list is missing."""
    packs = (Pack(name="old", invalid_at=1.0), Pack(name="new"), Pack(name="empty", total=0.0))
    told = a_caller(packs=packs).account()["resource_pack_subscribe_infos"]
    assert [pack["status"] for pack in told] == ["expired", "online", "runOut"]
    assert a_caller(packs=()).account() == {"code": 0, "msg": "success"}


def test_account_figures_lag_by_twelve_hours(caller: Any) -> None:
    """What was used shows in the remaining quantity half a day later."""
    caller.create()
    caller.clock.now += 3600
    assert caller.account()["resource_pack_subscribe_infos"][0]["remaining_quantity"] == 5000.0
    caller.clock.now += 12 * 3600
    assert caller.account()["resource_pack_subscribe_infos"][0]["remaining_quantity"] == 4999.75


def test_account_wants_both_times(caller: Any) -> None:
    """`start_time` and `end_time` are required."""
    assert caller.call("GET", "/account/costs", query={"start_time": 1}).json()["code"] == 1201


def test_times_follow_from_the_name_alone(a_caller: Any) -> None:
    """A task's generation time is drawn from seed and external id: order and moment have no part in it."""
    scenario = {"generation_s": {"median": 2, "sigma": 0.5}, "queue_s": [0, 1]}
    one, other = a_caller(scenario), a_caller(scenario)
    for name in ("a", "b", "c"):
        one.create(name)
    other.clock.now += 100
    for name in ("c", "a", "b"):
        other.create(name)
    spans = [{t.external_id: t.ended_at - t.created_at for t in c.world.ledger.tasks} for c in (one, other)]
    assert spans[0] == pytest.approx(spans[1])
    assert len(set(spans[0].values())) == 3


def test_log_normal_times_scatter_round_the_median(a_caller: Any) -> None:
    """Half of the log-normal times are below the median, and none is negative."""
    caller = a_caller({"concurrency": 1000, "queue_s": 0}, generation=Span.log_normal(2.0, 0.4))
    for number in range(400):
        caller.create(f"t{number}")
    times = sorted(task.ended_at - task.created_at for task in caller.world.ledger.tasks)
    assert times[0] > 0
    assert 1.7 < times[200] < 2.3


def test_every_answer_tells_the_date(caller: Any) -> None:
    """The `Date` header is the sandbox's clock."""
    assert caller.query().headers["date"] == "Mon, 21 Sep 2026 14:13:20 GMT"


def test_request_ids_count_up(caller: Any) -> None:
    """No two answers share a `request_id`, and none comes from chance."""
    ids = [caller.query().json()["request_id"] for _ in range(3)]
    assert ids == [f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3)]
