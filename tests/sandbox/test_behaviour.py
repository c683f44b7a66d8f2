"""Each question that the documentation leaves open can be answered either way."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(("policy", "code"), [("refuse-1201", 1201), ("refuse-1200", 1200)])
def test_a_duplicate_can_be_refused(a_caller: Any, policy: str, code: int) -> None:
    """A known external id is refused with 400 and a code, also after its task has ended."""
    caller = a_caller({"behaviour": {"duplicate_id": policy}})
    caller.create("a")
    caller.clock.now += 10
    reply = caller.create("a")
    assert (reply.status, reply.json()["code"]) == (400, code)


def test_a_duplicate_can_be_paid_for_again(a_caller: Any) -> None:
    """With `accept` a second task is made and charged; a query finds the first."""
    caller = a_caller({"behaviour": {"duplicate_id": "accept"}})
    first, second = (caller.create("a").json()["data"]["task_id"] for _ in range(2))
    caller.clock.now += 10
    assert caller.query("a").json()["data"]["task_id"] == first != second
    assert caller.world.ledger.tasks_by_external_id == {"a": 2}
    assert caller.world.ledger.charged == 2 * caller.world.settings.behaviour.units


def test_a_duplicate_can_be_the_first_again(a_caller: Any) -> None:
    """With `replay` the first task is the answer, and nothing more is charged."""
    caller = a_caller({"behaviour": {"duplicate_id": "replay"}})
    first, second = (caller.create("a").json()["data"]["task_id"] for _ in range(2))
    assert first == second
    assert len(caller.world.ledger.tasks) == 1


@pytest.mark.parametrize(
    ("policy", "status", "code", "data"),
    [
        ("404-1203", 404, 1203, "missing"),
        ("400-1201", 400, 1201, "missing"),
        ("empty-data", 200, 0, {}),
        ("null-data", 200, 0, None),
    ],
)
def test_an_unknown_id_is_answered_as_told(a_caller: Any, policy: str, status: int, code: int, data: Any) -> None:
    """404 with 1203, 400 with 1201, or 200 with data that says nothing."""
    reply = a_caller({"behaviour": {"unknown_id": policy}}).query("none")
    assert (reply.status, reply.json()["code"], reply.json().get("data", "missing")) == (status, code, data)


def test_tasks_can_become_visible_late(a_caller: Any) -> None:
    """Queries and the list can each be behind; the slot is held and the id is taken all the same."""
    caller = a_caller({"concurrency": 1, "behaviour": {"visible_after_s": {"query": 2, "list": 4}}})
    task_id = caller.create("a").json()["data"]["task_id"]
    seen = []
    for _ in range(3):
        seen.append((caller.query("a").status, caller.query(task_id).status, caller.listed()))
        caller.clock.now += 2
    assert seen == [(404, 404, []), (200, 200, []), (200, 200, ["a"])]
    assert caller.create("a").json()["code"] == 1201


def test_lateness_can_be_left_to_chance(a_caller: Any) -> None:
    """A pair of figures draws a lateness for each task anew."""
    caller = a_caller({"concurrency": 50, "behaviour": {"visible_after_s": [0, 10]}})
    for number in range(50):
        caller.create(f"t{number}")
    caller.clock.now += 5
    assert 10 < len(caller.listed(pageSize=500)) < 40


@pytest.mark.parametrize(("charge", "units"), [(True, "0.25"), (False, "0")])
def test_failures_can_be_charged(a_caller: Any, charge: bool, units: str) -> None:
    """A failed task costs nothing, or as much as any other."""
    caller = a_caller({"behaviour": {"charge_failures": charge}, "rules": [{"do": "task-fails"}]})
    caller.create()
    caller.clock.now += 10
    assert caller.query().json()["data"]["final_unit_deduction"] == units
    assert str(caller.world.ledger.charged) == units


@pytest.mark.parametrize("word", ["succeed", "succeeded", "SUCCEED"])
def test_success_can_be_spelt_otherwise(a_caller: Any, word: str) -> None:
    """The old way, the new way, or in capitals; the sounds are there."""
    caller = a_caller({"behaviour": {"success_word": word}})
    assert caller.fetch(caller.url()).status == 200
    assert caller.query().json()["data"]["task_status"] == word


@pytest.mark.parametrize("word", ["failed", "FAILED", "cancelled", "canceled", "expired"])
def test_failure_can_be_spelt_otherwise(a_caller: Any, word: str) -> None:
    """Another word for the same end; a task that runs is not concerned."""
    caller = a_caller({"behaviour": {"failure_word": word}, "rules": [{"do": "task-fails"}]})
    caller.create()
    states = [caller.query().json()["data"]["task_status"]]
    caller.clock.now += 10
    assert [*states, caller.query().json()["data"]["task_status"]] == ["submitted", word]


def test_sounds_can_be_shown_late(a_caller: Any) -> None:
    """The task has succeeded and is charged, and its result is empty for a while."""
    caller = a_caller({"behaviour": {"audios_after_s": 5}})
    caller.create()
    caller.clock.now += 3
    early = caller.query().json()["data"]
    assert (early["task_status"], early["task_result"], early["final_unit_deduction"]) == ("succeed", {}, "0.25")
    caller.clock.now += 5
    assert caller.query().json()["data"]["task_result"]["audios"]


@pytest.mark.parametrize("status", [403, 404])
def test_files_can_be_there_late(a_caller: Any, status: int) -> None:
    """The URL is good and told, and the file host refuses it for a while."""
    caller = a_caller({"behaviour": {"files_after_s": 20, "early_file_status": status}})
    url = caller.url()
    assert caller.fetch(url).status == status
    caller.clock.now += 20
    assert caller.fetch(url).status == 200


def test_empty_containers_can_be_left_out(a_caller: Any) -> None:
    """Neither `{}` nor `[]` is written: no `task_info`, no `task_result`, no `data`."""
    caller = a_caller({"behaviour": {"empty_containers": "leave-out", "unknown_id": "empty-data"}})
    assert "data" not in caller.page().json()
    assert "data" not in caller.query("none").json()
    task_id = caller.create("").json()["data"]["task_id"]
    assert {"task_info", "task_result"}.isdisjoint(caller.query(task_id).json()["data"])


def test_refusals_can_come_with_200(a_caller: Any) -> None:
    """The code alone tells of a refusal."""
    reply = a_caller({"behaviour": {"error_http_200": True}}).create(duration=1)
    assert (reply.status, reply.json()["code"]) == (200, 1201)


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("always", [True, True, True, True, True]),
        ("not-in-list", [True, True, False, True, False]),
        ("when-finished", [True, False, False, True, True]),
        ("never", [False, False, False, False, False]),
    ],
)
def test_replies_can_hide_the_external_id(a_caller: Any, shown: str, told: list[bool]) -> None:
    """When made; by query and list while it runs; by query and list at its end. It is found by it all the same."""
    caller = a_caller({"behaviour": {"external_ids_shown": shown}})
    rows = [caller.create("a").json()["data"]]
    for _ in range(2):
        rows += [caller.query("a").json()["data"], *caller.page().json()["data"]]
        caller.clock.now += 10
    assert [row["task_info"] == {"external_task_id": "a"} for row in rows] == told


def test_a_query_can_want_the_task_id(a_caller: Any) -> None:
    """The external id finds nothing; the list tells it still."""
    caller = a_caller({"behaviour": {"query_by_external_id": False}})
    task_id = caller.create("a").json()["data"]["task_id"]
    assert [caller.query(name).status for name in ("a", task_id)] == [404, 200]
    assert caller.listed() == ["a"]


def test_an_unknown_id_can_be_answered_with_another_task(a_caller: Any) -> None:
    """The newest task that queries find comes without its external id; where there is none, 404."""
    caller = a_caller({"behaviour": {"unknown_id": "other-task"}, "rules": [{"do": {"task-late": 5}, "limit": 1}]})
    caller.create("late")
    assert caller.query("none").status == 404
    newest = [caller.create(name) for name in "ab"][-1].json()["data"]
    told = caller.query("late").json()["data"]
    assert (told["task_id"], told["task_info"]) == (newest["task_id"], {})
    assert caller.query("b").json()["data"]["task_info"] == {"external_task_id": "b"}


def test_units_can_differ_or_be_hidden(a_caller: Any) -> None:
    """The price is a setting; whether replies tell it is another."""
    caller = a_caller({"behaviour": {"units": 0.4, "units_in_reply": False}})
    caller.create()
    caller.clock.now += 10
    assert "final_unit_deduction" not in caller.query().json()["data"]
    assert str(caller.world.ledger.charged) == "0.4"


def test_behaviour_can_change_while_it_runs(caller: Any, a_caller: Any) -> None:
    """A scenario that is applied later changes what it names and keeps the rest."""
    caller.create("a")
    later = a_caller({"behaviour": {"duplicate_id": "replay"}}).world.settings.behaviour
    from kling_batch.sandbox.scenario import scenario_of

    caller.world.apply(scenario_of({"concurrency": 1, "behaviour": {"duplicate_id": "replay"}}))
    assert caller.world.settings.behaviour == later
    assert caller.create("a").status == 200
    assert caller.create("b").json()["code"] == 1303
