"""The client over real HTTP: what it sends, and what it makes of the answers."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import jwt
import pytest

from kling_batch.catalog import kind
from kling_batch.model import TaskStatus
from kling_batch.service.auth import Keys
from kling_batch.service.client import KlingService
from kling_batch.service.codes import Reaction
from kling_batch.service.outcomes import Absent, Created, Found, NotSent, Page, ReadFailed, Refused, Unclear

AUDIO = kind("text-to-audio")
OURS = "kb-abc"
REQUEST = {"prompt": "Türknarren", "duration": 5.0}
TASK = {"task_id": "804296831530094592", "task_status": "processing", "task_info": {"external_task_id": OURS}}
DATE = "Tue, 14 Nov 2023 23:13:20 GMT"
"""One hour after the time of the client's clock."""
HOUR_LATER = 1_700_003_600


def create(service: KlingService) -> Any:
    """Ask for a task."""
    return service.create(AUDIO, REQUEST, OURS)


def query(service: KlingService) -> Any:
    """Ask for it again."""
    return service.query(AUDIO, OURS)


def page(service: KlingService) -> Any:
    """Ask for the tasks."""
    return service.page(AUDIO, 3, 500)


def account(service: KlingService) -> Any:
    """Ask for the packs."""
    return service.account(1, 2)


CALLS = {"create": create, "query": query, "page": page, "account": account}
READS = {name: call for name, call in CALLS.items() if name != "create"}


def ok(data: Any) -> dict[str, Any]:
    """Make the body of a good answer."""
    return {"code": 0, "message": "SUCCEED", "request_id": "r", "data": data}


def refusal(code: int) -> dict[str, Any]:
    """Make the body of a refusal."""
    return {"code": code, "message": "no", "request_id": "r"}


def claims(token: str) -> dict[str, Any]:
    """Read a token."""
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


def test_a_create_sends_the_request_with_our_id(api: Any, answer: Any, ask: Any) -> None:
    """As JSON in UTF-8, with one bearer token."""
    api.then(answer(body=ok(TASK)))
    outcome = ask(create)
    (call,) = api.calls
    assert (call.method, call.path) == ("POST", AUDIO.path)
    assert json.loads(call.body) == {**REQUEST, "external_task_id": OURS}
    assert call.headers["content-type"] == "application/json"
    assert claims(call.token)["iss"] == "the-access-key"
    assert isinstance(outcome, Created)


@pytest.mark.parametrize("any_id", [OURS, TASK["task_id"]])
def test_a_query_puts_either_id_into_the_path(api: Any, answer: Any, ask: Any, any_id: str) -> None:
    """As the official pages say."""
    api.then(answer(body=ok(TASK)))
    outcome = ask(lambda service: service.query(AUDIO, any_id))
    assert [(call.method, call.path, call.query) for call in api.calls] == [("GET", f"{AUDIO.path}/{any_id}", {})]
    assert isinstance(outcome, Found)
    assert outcome.task.status is TaskStatus.PROCESSING


def test_a_page_is_asked_for_by_number_and_size(api: Any, answer: Any, ask: Any) -> None:
    """From page 1, of at most 500 rows."""
    api.then(answer(body=ok([TASK])))
    outcome = ask(page)
    assert [(call.path, call.query) for call in api.calls] == [(AUDIO.path, {"pageNum": "3", "pageSize": "500"})]
    assert isinstance(outcome, Page)
    assert outcome.rows == 1


def test_the_account_is_asked_for_between_two_times(api: Any, answer: Any, ask: Any) -> None:
    """In Unix milliseconds; its data is handed over."""
    api.then(answer(body=ok({"resource_pack_subscribe_infos": []})))
    assert ask(account) == {"resource_pack_subscribe_infos": []}
    assert [(call.path, call.query) for call in api.calls] == [("/account/costs", {"start_time": "1", "end_time": "2"})]


def test_a_path_in_the_base_url_is_kept(api: Any, answer: Any, ask: Any) -> None:
    """A proxy of the team may serve the API under a path of its own."""
    api.then(answer(body=ok(TASK)))
    ask(query, base=f"{api.base}/kling/v2")
    assert api.calls[0].path == f"/kling/v2{AUDIO.path}/{OURS}"


def test_calls_go_by_way_of_a_proxy(api: Any, answer: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a way to the host, and sees no token; where it refuses, the answer is lost."""
    monkeypatch.setenv("https_proxy", api.base)
    api.then(answer(status=407))
    outcome = ask(create, base="https://api.example")
    assert isinstance(outcome, Unclear)
    assert "ProxyError" in outcome.reason
    [call] = api.calls
    assert (call.method, call.headers["host"]) == ("CONNECT", "api.example:443")
    assert "authorization" not in call.headers


def test_no_proxy_is_told_a_token_in_the_clear(
    api: Any, answer: Any, ask: Any, another_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http is for this machine alone, whatever proxies are set."""
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, another_host.base)
    api.then(answer(body=ok(TASK)))
    assert isinstance(ask(query), Found)
    assert another_host.calls == []


def test_cookies_are_not_kept(api: Any, answer: Any, ask: Any) -> None:
    """Nothing but the token says who asks."""
    api.then(answer(status=401, body={"code": 1004}, headers={"Set-Cookie": "who=somebody"}), answer(body=ok(TASK)))
    ask(query)
    assert [call.headers.get("cookie") for call in api.calls] == [None, None]


def test_a_closed_port_is_not_sent(ask: Any) -> None:
    """Nobody read the call: it may be repeated."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    outcome = ask(create, base=base)
    assert isinstance(outcome, NotSent)
    assert outcome.reason.startswith("cannot connect to ")
    assert all(isinstance(ask(read, base=base), ReadFailed) for read in READS.values())


LOST = {
    "closed without an answer": {"says_nothing": True},
    "half a body": {"body": ok(TASK), "cut_after": 20},
    "no body": {"body": ok(TASK), "cut_after": 0},
    "500 in HTML": {"status": 500, "body": b"<html>"},
    "504 with a code": {"status": 504, "body": refusal(5002)},
    "503 with a refusing code": {"status": 503, "body": refusal(1303)},
    "200 that is cut within": {"body": b'{"code": 0, "data": {"task'},
    "404 of a gateway": {"status": 404, "body": b"not here"},
    "no gzip": {"body": b"x", "headers": {"Content-Encoding": "gzip"}},
    "a broken length": {"body": b"", "headers": {"Content-Length": "many"}},
    "a redirect": {"status": 307, "headers": {"Location": "/elsewhere"}},
    "204": {"status": 204},
}


@pytest.mark.parametrize("how", LOST.values(), ids=LOST)
def test_a_lost_answer_leaves_a_create_unclear(api: Any, answer: Any, ask: Any, how: dict[str, Any]) -> None:
    """The service read the call, and it is sent once: whoever repeats it may pay twice."""
    api.then(answer(**how))
    assert isinstance(ask(create), Unclear)
    assert len(api.calls) == 1


@pytest.mark.parametrize("how", LOST.values(), ids=LOST)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_lost_answer_teaches_a_read_nothing(api: Any, answer: Any, ask: Any, read: Any, how: dict[str, Any]) -> None:
    """It may be repeated; the client does not do so by itself."""
    api.then(answer(**how))
    assert isinstance(ask(read), ReadFailed)
    assert len(api.calls) == 1


def test_a_compressed_answer_is_read(api: Any, answer: Any, ask: Any) -> None:
    """What httpx offers to take, it takes."""
    api.then(answer(body=gzip.compress(json.dumps(ok(TASK)).encode()), headers={"Content-Encoding": "gzip"}))
    assert isinstance(ask(create), Created)


@pytest.mark.parametrize("code", [1000, 1002, 1004])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_refused_token_is_signed_anew_once(api: Any, answer: Any, ask: Any, call: Any, code: int) -> None:
    """A call that was refused for its token did nothing, and may be repeated with another one."""
    api.then(answer(status=401, body=refusal(code), headers={"Date": DATE}), answer(body=ok(TASK)))
    outcome = ask(call)
    assert not isinstance(outcome, Refused)
    assert len(api.calls) == 2
    assert api.calls[0].body == api.calls[1].body


@pytest.mark.parametrize("code", [1000, 1002, 1004])
def test_a_token_that_is_refused_twice_is_refused(api: Any, answer: Any, ask: Any, code: int) -> None:
    """The keys are wrong: a person has to mend them."""
    api.then(answer(status=401, body=refusal(code)))
    outcome = ask(create)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.reaction) == (code, Reaction.SIGN_AGAIN)
    assert len(api.calls) == 2


@pytest.mark.parametrize("code", [1003, 1004])
def test_a_clock_that_is_wrong_is_mended_by_the_services_date(api: Any, answer: Any, ask: Any, code: int) -> None:
    """The second token is signed by the service's clock."""
    api.then(answer(status=401, body=refusal(code), headers={"Date": DATE}), answer(body=ok(TASK)))
    assert isinstance(ask(create), Created)
    assert claims(api.calls[1].token)["nbf"] == HOUR_LATER - 5


@pytest.mark.parametrize("code", [1000, 1002])
def test_the_services_date_is_no_matter_where_the_clock_is_none(api: Any, answer: Any, ask: Any, code: int) -> None:
    """A wrong key is not mended by another time."""
    api.then(answer(status=401, body=refusal(code), headers={"Date": DATE}), answer(body=ok(TASK)))
    ask(create)
    assert claims(api.calls[1].token)["nbf"] == 1_700_000_000 - 5


@pytest.mark.parametrize(
    "date", [None, "", "soon", "Fri, 1 Jan 99999999999999999999 1:1:1 GMT", "Mon, 01 Jan 2020 00:00:00 +9999"]
)
def test_a_token_from_the_future_is_not_repeated_without_a_date(
    api: Any, answer: Any, ask: Any, date: str | None
) -> None:
    """Nothing says what time to sign for."""
    api.then(answer(status=401, body=refusal(1003), headers={} if date is None else {"Date": date}))
    outcome = ask(create)
    assert isinstance(outcome, Refused)
    assert outcome.reaction is Reaction.CHECK_CLOCK
    assert len(api.calls) == 1


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1004])
def test_a_static_key_is_not_repeated(api: Any, answer: Any, ask: Any, code: int) -> None:
    """It would be refused again."""
    api.then(answer(status=401, body=refusal(code), headers={"Date": DATE}))
    assert isinstance(ask(create, keys=Keys(api_key="static")), Refused)
    assert [call.token for call in api.calls] == ["static"]


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("code", [1000, 1002, 1003, 1004])
def test_a_refused_token_inside_a_5xx_is_not_repeated(api: Any, answer: Any, ask: Any, code: int, status: int) -> None:
    """The answer contradicts itself, and a task may have been made: repeating the call could pay twice."""
    api.then(answer(status=status, body=refusal(code), headers={"Date": DATE}))
    assert isinstance(ask(create), Unclear)
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("code", "status"), [(1001, 401), (1102, 429), (1103, 403), (1301, 400), (1302, 429), (1303, 429), (1304, 429)]
)
def test_no_other_refusal_is_repeated(api: Any, answer: Any, ask: Any, code: int, status: int) -> None:
    """Whether and when to wait is decided elsewhere."""
    api.then(answer(status=status, body=refusal(code)))
    assert isinstance(ask(create), Refused)
    assert len(api.calls) == 1


def test_the_answer_to_the_second_token_counts(api: Any, answer: Any, ask: Any) -> None:
    """A second call that is lost leaves the create unclear, whatever the first said."""
    api.then(answer(status=401, body=refusal(1004)), answer(says_nothing=True))
    assert isinstance(ask(create), Unclear)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_redirect_is_not_followed(api: Any, another_host: Any, answer: Any, ask: Any, call: Any, status: int) -> None:
    """The token is for the API host alone."""
    api.then(answer(status=status, headers={"Location": another_host.base + "/steal"}))
    another_host.then(answer(body=ok(TASK)))
    assert isinstance(ask(call), Unclear | ReadFailed)
    assert another_host.calls == []


def test_an_unknown_task_is_absent(api: Any, answer: Any, ask: Any) -> None:
    """As the service is believed to say it."""
    api.then(answer(status=404, body=refusal(1203)))
    assert ask(query) == Absent()


def test_every_request_is_counted(api: Any, answer: Any, ask: Any) -> None:
    """Also those that were repeated or lost: the report names what the service had to answer."""
    api.then(answer(status=401, body=refusal(1004)), answer(says_nothing=True))
    seen: list[KlingService] = []
    ask(create, seen=seen)
    assert seen[0].requests == len(api.calls) == 2


def test_no_secret_stands_in_an_outcome(api: Any, answer: Any, ask: Any, pair: Keys) -> None:
    """Outcomes end in logs, journal and reports."""
    api.then(answer(says_nothing=True))
    said = repr([ask(call) for call in CALLS.values()])
    tokens = [call.token for call in api.calls]
    assert len(tokens) == 4
    assert not [secret for secret in (*tokens, str(pair.secret_key)) if secret in said]
