"""What the sandbox's tests share: a clock that is set by hand, and a caller that speaks the API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kling_batch.sandbox.faults import Scenario
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import SANDBOX_API_KEY, Span, WorldSettings
from kling_batch.sandbox.wire import Request, Response
from kling_batch.sandbox.world import ACCOUNT_PATH, TASKS_PATH, World
from tests.quick_clips import quick_clip

START = 1_790_000_000.0


class HandClock:
    """A clock that stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = START

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Caller:
    """Calls a world as a client would. Small clips, so that tests are quick."""

    def __init__(self, settings: WorldSettings, scenario: Scenario) -> None:
        self.clock = HandClock()
        self.world = World(settings, now=self.clock.time, synth=quick_clip)
        self.world.apply(scenario)

    def call(self, method: str, path: str, body: bytes = b"", query: Mapping[str, object] | None = None) -> Response:
        headers = {"authorization": f"Bearer {SANDBOX_API_KEY}"}
        texts = {name: str(value) for name, value in (query or {}).items()}
        return self.world.handle(Request(method=method, path=path, query=texts, headers=headers, body=body))

    def create(self, external_id: str = "a", prompt: str = "rain", **fields: Any) -> Response:
        body = {"prompt": prompt, "duration": 3.0, "external_task_id": external_id} | fields
        return self.call("POST", TASKS_PATH, json.dumps(body).encode())

    def post(self, path: str, **fields: Any) -> Response:
        """Ask for a task of any kind."""
        return self.call("POST", path, json.dumps(fields).encode())

    def query(self, any_id: str = "a") -> Response:
        return self.call("GET", f"{TASKS_PATH}/{any_id}")

    def page(self, **query: object) -> Response:
        return self.call("GET", TASKS_PATH, query=query)

    def listed(self, **query: object) -> list[str]:
        return [row["task_info"]["external_task_id"] for row in self.page(**query).json()["data"]]

    def account(self) -> Any:
        return self.call("GET", ACCOUNT_PATH, query={"start_time": 1, "end_time": 2}).json()["data"]

    def url(self, external_id: str = "a", audio_format: str = "wav") -> str:
        """Make a task, let it end, and hand over its file's URL."""
        if self.query(external_id).json()["code"] != 0:
            self.create(external_id)
            self.clock.now += 10
        return str(self.query(external_id).json()["data"]["task_result"]["audios"][0][f"url_{audio_format}"])

    def fetch(self, url: str, method: str = "GET", body: bytes = b"", **headers: str) -> Response:
        parts = urlsplit(url)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method=method, path=parts.path, query=dict(parse_qsl(parts.query)), headers=named, body=body)
        return asyncio.run(self.world.file(request))


@pytest.fixture
def caller() -> Caller:
    return Caller(WorldSettings(sample_rate=8000), Scenario())


@pytest.fixture
def a_caller() -> Callable[..., Caller]:
    """Make a caller of a sandbox with these settings and this scenario, as its JSON."""

    def make(document: Any = None, **settings: Any) -> Caller:
        return Caller(WorldSettings(**{"sample_rate": 8000} | settings), scenario_of(document or {}))

    return make


@pytest.fixture
def instant() -> WorldSettings:
    """Settings of a sandbox whose tasks end at once."""
    now = Span.fixed(0.0)
    return WorldSettings(sample_rate=8000, generation=now, queue=now)
