"""The sandbox behind real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest

from kling_batch.errors import UsageError
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import SANDBOX_API_KEY, WorldSettings
from tests.quick_clips import quick_clip

PATH = "/v1/audio/text-to-audio"
HEADERS = {"Authorization": f"Bearer {SANDBOX_API_KEY}"}


@contextlib.contextmanager
def client_of(settings: WorldSettings, document: Any = None) -> Any:
    """Serve a sandbox, and hand over its server and a client of its API."""
    rules = scenario_of(document or {}).rules or ()
    with (
        SandboxServer(settings, rules=rules, synth=quick_clip) as server,
        httpx.Client(base_url=server.url, headers=HEADERS, timeout=10, trust_env=False) as client,
    ):
        yield server, client


def post(client: httpx.Client, external_id: str = "a") -> httpx.Response:
    return client.post(PATH, json={"prompt": "rain", "duration": 3.0, "external_task_id": external_id})


def url_of(client: httpx.Client, external_id: str = "a") -> str:
    return str(client.get(f"{PATH}/{external_id}").json()["data"]["task_result"]["audios"][0]["url_wav"])


def test_a_sound_comes_over_http(instant: WorldSettings) -> None:
    """Create, query and fetch; the files are on another port than the API."""
    with client_of(instant) as (server, client):
        assert post(client).json()["code"] == 0
        url = url_of(client)
        assert httpx.URL(url).port != httpx.URL(server.url).port
        reply = httpx.get(url, headers={"Range": "bytes=0-3"}, trust_env=False)
        assert (reply.status_code, reply.content) == (206, b"RIFF")
        assert httpx.head(url, trust_env=False).headers["content-length"] == "48044"


def test_http_and_in_process_say_the_same(instant: WorldSettings, a_caller: Any) -> None:
    """The same calls have the same answers, but for times and ids."""
    caller = a_caller({"generation_s": 0, "queue_s": 0})
    inside = [
        caller.create(),
        caller.create(),
        caller.query(),
        caller.query("none"),
        caller.page(),
        caller.page(pageSize=0),
    ]
    with client_of(instant) as (_, client):
        gets = [f"{PATH}/a", f"{PATH}/none", PATH, f"{PATH}?pageSize=0"]
        outside = [post(client), post(client), *(client.get(path) for path in gets)]
    assert [reply.status for reply in inside] == [reply.status_code for reply in outside]
    assert [plain(reply.json()) for reply in inside] == [plain(reply.json()) for reply in outside]
    assert [sorted(reply.headers) for reply in inside] == [sorted(reply.headers) for reply in outside]


def plain(value: Any) -> Any:
    """Take times, ids and addresses out of an answer."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    varying = {"task_id", "id", "created_at", "updated_at", "url_mp3", "url_wav"}
    return {name: name in varying or plain(item) for name, item in value.items()}


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ({"lost-after": "closed"}, httpx.RemoteProtocolError),
        ({"lost-after": "reset"}, httpx.ReadError),
        ({"lost-after": "timeout"}, httpx.ReadTimeout),
        ("no-connection", httpx.RemoteProtocolError),
    ],
)
def test_answers_are_lost_on_the_wire(instant: WorldSettings, do: Any, error: type[Exception]) -> None:
    """The connection goes without an answer; the next call is served on another one."""
    with client_of(instant, {"rules": [{"on": "create", "do": do, "limit": 1}]}) as (server, client):
        with pytest.raises(error):
            client.post(PATH, json={"prompt": "rain", "duration": 3.0}, timeout=0.3)
        assert post(client).json()["code"] == 0
        assert len(server.world.ledger.tasks) == (1 if do == "no-connection" else 2)


def test_a_download_breaks_off_on_the_wire(instant: WorldSettings) -> None:
    """The promised length does not arrive; the rest can be asked for."""
    with client_of(instant, {"rules": [{"do": {"cut": 1000}, "limit": 1}]}) as (_, client):
        post(client)
        url, got = url_of(client), bytearray()
        with pytest.raises(httpx.RemoteProtocolError, match="received 1000 bytes, expected 48044"):
            _receive(url, got)
        rest = httpx.get(url, headers={"Range": "bytes=1000-"}, trust_env=False)
        assert bytes(got) + rest.content == httpx.get(url, trust_env=False).content


def _receive(url: str, into: bytearray) -> None:
    with httpx.stream("GET", url, trust_env=False) as reply:
        for chunk in reply.iter_raw():
            into.extend(chunk)


def test_a_slow_download_arrives_whole(instant: WorldSettings) -> None:
    """A pace changes when bytes come, not which."""
    with client_of(instant, {"rules": [{"do": {"slow": 480_440}, "limit": 1}]}) as (_, client):
        post(client)
        url = url_of(client)
        slow, fast = (httpx.get(url, trust_env=False) for _ in range(2))
        assert slow.content == fast.content
        assert slow.elapsed.total_seconds() >= 0.09


def test_the_ledger_is_served_without_a_key(instant: WorldSettings) -> None:
    """`GET /sandbox/ledger` tells the truth to whoever asks."""
    with client_of(instant) as (server, client):
        post(client)
        books = httpx.get(f"{server.url}/sandbox/ledger", trust_env=False).json()
    assert (books["posts"], books["charged"], books["in_flight"]) == ({"a": 1}, "0.25", 0)


def test_settings_change_while_it_runs(instant: WorldSettings) -> None:
    """`POST /sandbox/settings` takes what a fault file may say, and refuses the rest with words."""
    with client_of(instant) as (_, client):
        changed = client.post(
            "/sandbox/settings", json={"concurrency": 0, "rules": [{"on": "list", "do": {"refuse": 1302}}]}
        )
        assert changed.json() == {"changed": True}
        assert (post(client).json()["code"], client.get(PATH).json()["code"]) == (1303, 1302)
        refused = client.post("/sandbox/settings", json={"concurency": 1})
        assert (refused.status_code, "did you mean concurrency?" in refused.json()["error"]) == (400, True)
        assert client.post("/sandbox/settings", content=b"{").status_code == 400


def test_a_port_that_is_taken_is_named(instant: WorldSettings) -> None:
    """Which address, why, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}") as caught:
            SandboxServer(instant, port=port)
    assert "--port" in (caught.value.hint or "")


PROGRAM = """
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.settings import WorldSettings
server = SandboxServer(WorldSettings())
print(server.url, flush=True)
server.run()
print("ended")
"""


def test_an_interrupt_ends_it_in_good_order() -> None:
    """SIGINT stops the server, prints nothing, and lets the program go on."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert json.loads(httpx.get(f"{url}/sandbox/ledger", trust_env=False).content)["tasks"] == []
        process.send_signal(2)
        out, errors = process.communicate(timeout=10)
    assert (process.returncode, out, errors) == (0, "ended\n", "")
