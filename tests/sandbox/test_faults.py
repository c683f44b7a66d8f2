"""Each fault strikes as its rule says, and leaves in the books what really happened."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import soundfile

from kling_batch.sandbox.faults import EFFECTS
from kling_batch.sandbox.wire import CODES, Loss


def rule(do: Any, **fields: Any) -> dict[str, Any]:
    return {"rules": [{"do": do} | fields]}


@pytest.mark.parametrize(
    ("do", "loss", "made"),
    [
        ("no-connection", Loss.NEVER_OPENED, 0),
        ("lost-before", Loss.CLOSED, 0),
        ({"lost-before": "timeout"}, Loss.SILENCE, 0),
        ("lost-after", Loss.CLOSED, 1),
        ({"lost-after": "reset"}, Loss.RESET, 1),
    ],
)
def test_answers_are_lost(a_caller: Any, do: Any, loss: Loss, made: int) -> None:
    """`before` makes no task and `after` makes one; the caller cannot tell."""
    caller = a_caller(rule(do, on="create"))
    assert caller.create().loss is loss
    assert len(caller.world.ledger.tasks) == made


def test_no_connection_is_no_post(a_caller: Any) -> None:
    """What never left the client is in no book but that of the faults."""
    caller = a_caller(rule("no-connection", on="create"))
    caller.create()
    assert (caller.world.ledger.posts, caller.world.ledger.api_requests) == ({}, 0)
    assert caller.world.ledger.faults == {"no-connection": 1}


@pytest.mark.parametrize("code", [5000, 5001, 5002])
@pytest.mark.parametrize(("name", "made"), [("error-before", 0), ("error-after", 1)])
def test_the_service_has_trouble(a_caller: Any, name: str, made: int, code: int) -> None:
    """A 5xx with its code, with or without a task behind it."""
    caller = a_caller(rule({name: code}, on="create"))
    reply = caller.create()
    assert (reply.status, reply.json()["code"]) == (CODES[code].http, code)
    assert len(caller.world.ledger.tasks) == made


@pytest.mark.parametrize("kind", ["html", "text", "empty", "truncated", "shape"])
@pytest.mark.parametrize(("name", "made"), [("garbage-before", 0), ("garbage-after", 1)])
def test_answers_are_garbage(a_caller: Any, name: str, made: int, kind: str) -> None:
    """Nothing in the answer names a task, with or without one behind it."""
    caller = a_caller(rule({name: kind}, on="create"))
    reply = caller.create()
    if kind == "shape":
        assert all(not isinstance(row, dict) or row["task_id"] is None for row in reply.json()["data"])
    else:
        with pytest.raises(ValueError, match=r"Expect|Untermin"):
            reply.json()
    assert len(caller.world.ledger.tasks) == made


@pytest.mark.parametrize("code", sorted(CODES))
def test_any_code_can_be_refused_with(a_caller: Any, code: int) -> None:
    """Every row of the error table can be had, with its HTTP status."""
    caller = a_caller(rule({"refuse": code}, on="create"))
    reply = caller.create()
    assert (reply.status, reply.json()["code"]) == (CODES[code].http, code)
    assert caller.world.ledger.tasks == []


@pytest.mark.parametrize(("status", "code"), [(429, 1305), (200, 1305), (429, 429), (403, 403), (408, 408), (404, 404)])
def test_a_gateway_answers_for_the_service(a_caller: Any, status: int, code: int) -> None:
    """With any status and any code, for as long as the rule says, and without a task."""
    answer = {"status": status, "code": code, "message": "busy"}
    caller = a_caller(rule({"gateway": answer}, when={"between_s": [0, 2]}))
    for reply in (caller.create(), caller.query(), caller.page()):
        assert (reply.status, reply.json()["code"], reply.json()["message"]) == (status, code, "busy")
    assert caller.world.ledger.tasks == []
    caller.clock.now += 2
    assert caller.create().json()["code"] == 0


def test_a_gateway_shows_a_page(a_caller: Any) -> None:
    """Without a code there is no JSON."""
    reply = a_caller(rule({"gateway": {"status": 403}})).create()
    assert (reply.status, reply.headers["content-type"]) == (403, "text/html")
    assert b"403 Forbidden" in reply.body


def test_delays_add_up(a_caller: Any) -> None:
    """Delays of several rules are added, and another effect goes with them."""
    caller = a_caller({"rules": [{"do": {"delay_s": 2}}, {"do": {"delay_s": [1, 1]}}, {"do": "lost-after"}]})
    reply = caller.create()
    assert (reply.delay_s, reply.loss) == (3.0, Loss.CLOSED)


def test_the_first_rule_of_a_kind_has_its_way(a_caller: Any) -> None:
    """Two answers cannot both be given; what the second would have done is not counted."""
    caller = a_caller({"rules": [{"on": "create", "do": {"refuse": 1302}}, {"on": "create", "do": {"refuse": 1301}}]})
    assert caller.create().json()["code"] == 1302
    assert caller.world.ledger.faults == {"refuse": 1}


def test_a_task_gets_stuck_for_a_while_or_for_ever(a_caller: Any) -> None:
    """It stays `processing` and keeps its slot."""
    for_a_while = a_caller(rule({"task-stuck": 100}))
    for_ever = a_caller(rule("task-stuck"))
    states = []
    for caller in (for_a_while, for_ever):
        caller.create()
        for _ in range(2):
            caller.clock.now += 60
            states.append((caller.query().json()["data"]["task_status"], caller.world.ledger.in_flight))
    assert states == [("processing", 1), ("succeed", 0), ("processing", 1), ("processing", 1)]
    assert for_ever.world.ledger.as_json()["tasks"][0]["ended_at"] is None


def test_a_task_fails_in_the_services_words(a_caller: Any) -> None:
    """Without a message of its own, a failure is the service's internal error."""
    caller = a_caller(rule("task-fails"))
    caller.create()
    caller.clock.now += 10
    told = caller.query().json()["data"]["task_status_msg"]
    assert told == "Internal error, please contact Kling customer service."


def test_one_task_becomes_visible_late(a_caller: Any) -> None:
    """`task-late` is about the tasks that it strikes alone."""
    caller = a_caller(rule({"task-late": {"query": 5, "list": 1}}, when={"match": "LATE"}))
    caller.create("late-one")
    caller.create("other")
    assert [caller.query(name).status for name in ("late-one", "other")] == [404, 200]
    assert caller.listed() == ["other"]
    caller.clock.now += 1
    assert (caller.query("late-one").status, caller.listed()) == (404, ["other", "late-one"])


@pytest.mark.parametrize(
    ("do", "found"),
    [
        ("task-forgotten", [False] * 4),
        ({"task-forgotten": 3}, [True, True, False, False]),
        ({"task-forgotten": [1, 5]}, [True, False, False, True]),
        ({"task-forgotten": [5, None]}, [True, True, True, False]),
    ],
)
def test_a_task_is_forgotten(a_caller: Any, do: Any, found: list[bool]) -> None:
    """Neither query nor list finds it for a while, or ever again; it holds its slot, ends and is charged."""
    caller = a_caller({"generation_s": 3} | rule(do))
    task_id = caller.create().json()["data"]["task_id"]
    seen = []
    for _ in found:
        seen.append({caller.query(name).status == 200 for name in ("a", task_id)} | {caller.listed() == ["a"]})
        assert caller.world.ledger.in_flight == (caller.clock.now < caller.world.ledger.tasks[0].ended_at)
        caller.clock.now += 2
    assert seen == [{shown} for shown in found]
    assert str(caller.world.ledger.charged) == "0.25"


def test_a_task_tells_an_impossible_url(a_caller: Any) -> None:
    """What replies tell is no URL; the file is there, but for the task that was not struck alone."""
    caller = a_caller(rule("task-url", when={"match": "odd"}))
    with pytest.raises(ValueError, match="Invalid IPv6 URL"):
        urlsplit(caller.url("odd"))
    assert caller.fetch(caller.url("other")).status == 200


def test_a_price_rises_during_a_run(a_caller: Any) -> None:
    """`price` is what the struck tasks are charged, also beside another effect on them; a task's price stays."""
    late = {"do": {"price": 1.1}, "when": {"between_s": [5, None]}}
    caller = a_caller({"rules": [late, {"do": {"task-stuck": 1}, "when": {"nth": [2]}}]})
    for name in "ab":
        caller.create(name)
        caller.clock.now += 6
    told = [caller.query(name).json()["data"]["final_unit_deduction"] for name in "ab"]
    assert (told, str(caller.world.ledger.charged)) == (["0.25", "1.1"], "1.35")


def test_a_price_that_cannot_be_paid_is_refused(a_caller: Any) -> None:
    """The balance is asked for the price of the very task."""
    caller = a_caller(rule({"price": 2}, when={"match": "dear"}), balance_units=Decimal(1))
    assert [caller.create(name).json()["code"] for name in ("dear", "cheap")] == [1102, 0]


CONDITIONS = [
    ({"nth": [2, 4]}, [2, 4]),
    ({"every": 3}, [3, 6]),
    ({"from_nth": 5}, [5, 6]),
    ({"between_s": [1, 3]}, [2, 3]),
    ({"between_s": [4, None]}, [5, 6]),
    ({"match": "p2"}, [2]),
    ({"match": "EXT-3"}, [3]),
    ({"every": 2, "from_nth": 3}, [4, 6]),
    ({"probability": 1}, [1, 2, 3, 4, 5, 6]),
    ({"probability": 0}, []),
]


@pytest.mark.parametrize(("when", "struck"), CONDITIONS)
def test_conditions_choose_calls(a_caller: Any, when: dict[str, Any], struck: list[int]) -> None:
    """A rule strikes when all of its conditions hold; here a call comes each second."""
    caller = a_caller(rule({"refuse": 1302}, on="create", when=when))
    hit = []
    for number in range(1, 7):
        if caller.create(f"ext-{number}", f"p{number}").json()["code"] == 1302:
            hit.append(number)
        caller.clock.now += 1
    assert hit == struck


def test_a_limit_ends_a_rule(a_caller: Any) -> None:
    """After so many strikes the rule is done."""
    caller = a_caller(rule({"refuse": 1302}, on="create", limit=2))
    assert [caller.create(name).json()["code"] for name in "abc"] == [1302, 1302, 0]


def test_chance_follows_from_the_seed(a_caller: Any) -> None:
    """The same seed strikes the same calls, and another one others."""

    def struck(seed: int) -> list[int]:
        document = rule({"refuse": 1302}, on="query", when={"probability": 0.5}) | {"seed": seed}
        caller = a_caller(document)
        return [caller.query().json()["code"] for _ in range(40)]

    assert struck(1) == struck(1) != struck(2)


def test_a_rule_keeps_to_its_calls(a_caller: Any) -> None:
    """`on` names the kinds of calls; the others pass."""
    caller = a_caller(rule({"refuse": 1302}, on=["list", "account"]))
    assert caller.create().json()["code"] == 0
    assert caller.query().json()["code"] == 0
    assert caller.page().json()["code"] == 1302


def test_downloads_break_off(a_caller: Any) -> None:
    """A cut is a share of the body, or a number of bytes."""
    caller = a_caller({"rules": [{"do": {"cut": 0.25}, "limit": 1}, {"do": {"cut": 1000}, "when": {"nth": [2]}}]})
    url = caller.url()
    first, second, third = (caller.fetch(url) for _ in range(3))
    assert (first.cut_at, second.cut_at, third.cut_at) == (len(first.body) // 4, 1000, None)


def test_downloads_come_slowly(a_caller: Any) -> None:
    """A pace in bytes a second."""
    caller = a_caller(rule({"slow": 5000}))
    assert caller.fetch(caller.url()).bytes_per_s == 5000


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_downloads_are_damaged_where_a_decoder_looks(a_caller: Any, audio_format: str) -> None:
    """As many bytes as before, but not all the same."""
    caller = a_caller(rule("corrupt", limit=1))
    url = caller.url(audio_format=audio_format)
    damaged, whole = caller.fetch(url).body, caller.fetch(url).body
    assert len(damaged) == len(whole)
    assert sum(one != other for one, other in zip(damaged, whole, strict=True)) == 128


def test_downloads_are_something_else(a_caller: Any) -> None:
    """A page instead of a sound, the other format, or another length; then the right file."""
    names = ["wrong-type", "wrong-format", "wrong-length"]
    caller = a_caller({"rules": [{"do": name, "when": {"nth": [nth]}} for nth, name in enumerate(names, 1)]})
    url = caller.url()
    page, other, short, right = (caller.fetch(url) for _ in range(4))
    assert page.headers["content-type"].startswith("text/html")
    assert page.body.startswith(b"<!DOCTYPE html>")
    assert soundfile.info(io.BytesIO(other.body)).format == "MP3"
    assert other.headers["content-type"] == "audio/wav"
    assert soundfile.info(io.BytesIO(short.body)).duration == 1.5
    assert soundfile.info(io.BytesIO(right.body)).duration == 3.0


def test_a_file_changes_between_two_downloads(a_caller: Any) -> None:
    """Another ETag and other bytes, of the same length; a range of the old version is not served."""
    caller = a_caller(rule("changed", when={"nth": [2]}))
    url = caller.url()
    first = caller.fetch(url)
    second = caller.fetch(url, range="bytes=10-", if_range=first.headers["etag"])
    assert second.status == 200
    assert second.headers["etag"] != first.headers["etag"]
    assert (len(second.body), second.body == first.body) == (len(first.body), False)


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500, 502, 503])
def test_downloads_are_refused(a_caller: Any, status: int) -> None:
    """With any of these HTTP statuses, and nothing that could be taken for a sound."""
    caller = a_caller(rule({"status": status}))
    reply = caller.fetch(caller.url())
    assert (reply.status, reply.headers["content-type"]) == (status, "text/plain; charset=utf-8")


def test_downloads_are_led_elsewhere(a_caller: Any) -> None:
    """A redirect leads to the file; a circle never does."""
    caller = a_caller(rule("redirect", limit=1))
    moved = caller.fetch(caller.url())
    assert moved.status == 302
    assert caller.fetch(moved.headers["location"]).status == 200
    circle = a_caller(rule({"redirect": "loop"}, limit=1))
    url = circle.url()
    assert [circle.fetch(url).headers.get("location") for _ in range(3)] == [url] * 3


def test_a_url_dies_before_its_time(a_caller: Any) -> None:
    """403 from now on; asking the task again gives one that works."""
    caller = a_caller(rule("expire", limit=1))
    url = caller.url()
    assert [caller.fetch(url).status for _ in range(2)] == [403, 403]
    fresh = caller.url()
    assert (fresh != url, caller.fetch(fresh).status) == (True, 200)


@pytest.mark.parametrize("name", ["lost-before", "lost-after", "no-connection"])
def test_downloads_are_lost(a_caller: Any, name: str) -> None:
    """The file host's answers can fail to arrive, too."""
    caller = a_caller(rule(name, on="download"))
    assert caller.fetch(caller.url()).loss is not None


def test_every_effect_is_shown_here(request: pytest.FixtureRequest) -> None:
    """No effect without a test."""
    text = request.path.read_text(encoding="utf-8")
    assert [name for name in EFFECTS if f'"{name}"' not in text] == []
