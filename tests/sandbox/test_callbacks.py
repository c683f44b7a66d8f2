"""What the sandbox tells of its own accord."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from kling_batch.errors import UsageError
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.callbacks import Callback, signature
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import SANDBOX_API_KEY, Span, WorldSettings
from tests.quick_clips import quick_clip

URL = "https://example.com/hook"
SECRET, OTHER = "whsec_c2VjcmV0", "whsec_b3RoZXI="


def told(caller: Any, *waits: float) -> list[Callback]:
    """Give what is told after each of some waits."""
    found = []
    for seconds in waits:
        caller.clock.now += seconds
        found += caller.world.news()
    return found


def states(news: list[Callback]) -> list[str]:
    return [json.loads(each.body)["task_status"] for each in news]


def test_every_change_is_told_as_the_bare_task(caller: Any) -> None:
    """Without an envelope, and as a query would tell it then; nobody who gave no address is told of."""
    caller.create("a", callback_url=URL)
    caller.create("silent")
    caller.create("empty", callback_url="")
    news = told(caller, 0, 1, 10)
    assert states(news) == ["submitted", "processing", "succeed"]
    assert {each.url for each in news} == {URL}
    assert json.loads(news[-1].body) == caller.query("a").json()["data"]
    assert told(caller, 100) == []


@pytest.mark.parametrize("path", ["/v1/audio/video-to-audio", "/v1/general/custom-voices"])
def test_every_kind_with_an_address_is_told_of(caller: Any, path: str) -> None:
    """Videos and voices like sounds."""
    caller.post(path, video_id="x", callback_url=URL, **({"voice_name": "x"} if "voices" in path else {}))
    assert states(told(caller, 10)) == ["submitted", "processing", "succeed"]


def test_failures_are_told_and_stuck_tasks_have_no_end(a_caller: Any) -> None:
    """With the reason; what never ends is told of while it runs."""
    fails, stuck = (a_caller({"rules": [{"do": name}]}) for name in ("task-fails", "task-stuck"))
    for caller in (fails, stuck):
        caller.create(callback_url=URL)
    last = json.loads(told(fails, 10)[-1].body)
    assert (last["task_status"], last["task_status_msg"][:8]) == ("failed", "Internal")
    assert states(told(stuck, 1000)) == ["submitted", "processing"]


def test_the_end_alone_can_be_told_and_without_its_result(a_caller: Any) -> None:
    """No page of the documentation says what a callback of a sound holds."""
    caller = a_caller({"callbacks": {"states": "ended", "results": False}})
    caller.create(callback_url=URL)
    (news,) = told(caller, 10)
    data = json.loads(news.body)
    assert (data["task_status"], data["task_result"]) == ("succeed", {})


def test_callbacks_are_late(a_caller: Any) -> None:
    """What is told is as it was, not as it is by now; sent at odd times, they come out of order."""
    caller = a_caller({"callbacks": {"late_s": [0, 20]}, "concurrency": 20})
    for number in range(20):
        caller.create(f"t{number}", callback_url=URL)
    news = told(caller, *[1.0] * 30)
    assert Counter(states(news)) == {"submitted": 20, "processing": 20, "succeed": 20}
    ends = [json.loads(each.body)["updated_at"] for each in news]
    assert ends != sorted(ends)


def test_callbacks_are_lost_doubled_and_forged(a_caller: Any) -> None:
    """By their shares; a double is the same to the byte, and a forgery says what is not so."""
    caller = a_caller(
        {"callbacks": {"lost": 0.3, "doubled": 0.3, "forged": 0.3, "states": "ended"}, "concurrency": 200}
    )
    for number in range(200):
        caller.create(f"t{number}", callback_url=URL)
    news = told(caller, 10)
    fates = caller.world.ledger.as_json()["callbacks"]
    lies = [each for each in news if json.loads(each.body)["task_status_msg"] == "forged"]
    assert len(lies) == fates["forged"]
    assert len(news) == fates["forged"] + fates["told"] + 2 * fates["doubled"]
    assert len({each.body for each in news}) == len(news) - fates["doubled"]
    assert all(30 < fates[name] < 90 for name in ("lost", "doubled", "forged"))


def test_the_signature_is_the_schemes_own() -> None:
    """The example that the libraries of Standard Webhooks are tested with."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_signs(a_caller: Any) -> None:
    """While a secret is replaced the old and the new one both do; a forgery is signed with neither."""
    caller = a_caller({"callbacks": {"secrets": [SECRET, OTHER], "forged": 1, "states": "ended"}})
    caller.create(callback_url=URL)
    lie, truth = told(caller, 10)
    for news, is_true in ((lie, False), (truth, True)):
        name, at = news.headers["webhook-id"], int(news.headers["webhook-timestamp"])
        mine = {signature(secret, name, at, news.body) for secret in (SECRET, OTHER)}
        assert (set(news.headers["webhook-signature"].split()) == mine) == is_true
        assert at == int(caller.clock.now)


def test_the_common_library_takes_them() -> None:
    """Verified by the library that clients use."""
    standardwebhooks = pytest.importorskip("standardwebhooks")
    import time

    news = Callback.of(URL, b'{"task_id": "1"}', (OTHER, SECRET), time.time())
    hook = standardwebhooks.Webhook(SECRET)
    assert hook.verify(news.body, dict(news.headers)) == {"task_id": "1"}
    lie = Callback.of(URL, b"{}", (SECRET,), time.time(), forged=True)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        hook.verify(lie.body, dict(lie.headers))


def test_without_a_secret_nothing_is_signed(caller: Any) -> None:
    """As in the days before there were any."""
    caller.create(callback_url=URL)
    assert {name for news in told(caller, 10) for name in news.headers} == {"content-type"}


@pytest.mark.parametrize("secret", ["c2VjcmV0", "whsec_no base64", "whsec_abc"])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    """The message says what form it must have."""
    with pytest.raises(UsageError, match=r"callbacks\.secrets\[0\]: it is not of the form") as caught:
        scenario_of({"callbacks": {"secrets": [secret]}})
    assert secret not in str(caught.value)


@pytest.fixture
def receiver() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """Listen for callbacks on this machine: the address, and what has come."""
    came: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            came.put({"path": self.path, "headers": dict(self.headers), "data": json.loads(body)})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook?x=1", came
        server.shutdown()
        thread.join()


def test_callbacks_come_over_http(receiver: Any) -> None:
    """A server sends them when it is time, signed, without being asked anything."""
    url, came = receiver
    short = WorldSettings(sample_rate=8000, queue=Span.fixed(0.05), generation=Span.fixed(0.05))
    settings = scenario_of({"callbacks": {"secrets": [SECRET]}}).over(short)
    with SandboxServer(settings, synth=quick_clip) as server:
        body = {"prompt": "rain", "duration": 3.0, "external_task_id": "a", "callback_url": url}
        httpx.post(
            f"{server.url}/v1/audio/text-to-audio",
            json=body,
            headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"},
            trust_env=False,
        )
        got = [came.get(timeout=20) for _ in range(3)]
    assert sorted(each["data"]["task_status"] for each in got) == ["processing", "submitted", "succeed"]
    assert all(each["path"] == "/hook?x=1" and each["headers"]["webhook-signature"] for each in got)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/none", "no url", "ftp://127.0.0.1/x"])
def test_a_callback_that_nobody_takes_does_no_harm(instant: WorldSettings, url: str) -> None:
    """It is counted, and the server goes on."""
    body = {"prompt": "x", "duration": 3.0, "callback_url": url}
    with SandboxServer(instant, synth=quick_clip) as server:
        api = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"}, trust_env=False)
        with api:
            assert [api.post("/v1/audio/text-to-audio", json=body).json()["code"] for _ in range(2)] == [0, 0]
            undelivered = [0]
            while undelivered[-1] < 2 and len(undelivered) < 5000:
                undelivered.append(api.get("/sandbox/ledger").json()["callbacks"].get("undelivered", 0))
        assert undelivered[-1] == 2


def test_the_command_takes_the_secret_from_the_environment(receiver: Any) -> None:
    """`KLING_WEBHOOK_SECRET` signs what `kling-batch sandbox` sends; one that is none is refused, and not repeated."""
    url, came = receiver
    command = [sys.executable, "-m", "kling_batch", "sandbox", "--generation-seconds", "0"]
    environment = os.environ | {"KLING_API_KEY": SANDBOX_API_KEY, "KLING_WEBHOOK_SECRET": SECRET}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base = process.stdout.readline().strip()
        body = {"prompt": "rain", "duration": 3.0, "callback_url": url}
        httpx.post(
            f"{base}/v1/audio/text-to-audio",
            json=body,
            headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"},
            trust_env=False,
        )
        assert came.get(timeout=20)["headers"]["webhook-signature"].startswith("v1,")
        process.terminate()
    odd = environment | {"KLING_WEBHOOK_SECRET": "hush"}
    refused = subprocess.run(command, env=odd, capture_output=True, text=True, timeout=30, check=False)
    assert (refused.returncode, "hush" in refused.stderr) == (2, False)
    assert "not of the form" in refused.stderr
