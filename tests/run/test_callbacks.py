"""Callbacks of the service, as hints: from the command line, against the sandbox over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.quick import quick_clip
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import SANDBOX_API_KEY, Span, WorldSettings

SECRET, OTHER = "whsec_c2VjcmV0LW9mLXRoZS1hY2NvdW50", "whsec_YW5vdGhlci1zZWNyZXQ="
MANY = "version: 1\nproject: tavern\njobs: [{id: a, prompt: Rain, takes: 8, duration: 3.0}]\n"


@pytest.fixture
def port() -> int:
    """Find a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SandboxServer]]:
    """Start a sandbox that tells of tasks, and point the environment at it."""
    with ExitStack() as stack:

        def start(seconds: float = 0.2, **habits: Any) -> SandboxServer:
            settings = WorldSettings(generation=Span.fixed(seconds), queue=Span.fixed(0.0), sample_rate=8000)
            settings = scenario_of({"callbacks": habits}).over(settings)
            server = stack.enter_context(SandboxServer(settings, synth=quick_clip))
            monkeypatch.setenv("KLING_BASE_URL", server.url)
            monkeypatch.setenv("KLING_API_KEY", SANDBOX_API_KEY)
            return server

        yield start


@pytest.fixture
def run(tavern: Any, port: int) -> Callable[..., int]:
    """Run with callbacks, and never poll of one's own accord within a test; eight takes."""
    tavern.manifest.write_text(MANY, encoding="utf-8")
    to = ("--callback-url", f"http://127.0.0.1:{port}/hook", "--listen", f"127.0.0.1:{port}")
    return lambda *options: int(tavern.run(*to, "--unproven", *options))


def test_a_callback_ends_a_take_where_polls_are_rare(
    run: Any, telling: Any, monkeypatch: pytest.MonkeyPatch, created: Any
) -> None:
    """With an hour between two polls, signed ones alone bring every take home."""
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", SECRET)
    server = telling(secrets=[SECRET])
    assert run("--poll-interval", "3600") == 0
    assert created(server.world.ledger) == [1] * 8


@pytest.mark.parametrize("secret", ["", OTHER])
def test_an_unsigned_or_foreign_one_is_a_hint(
    run: Any, telling: Any, monkeypatch: pytest.MonkeyPatch, created: Any, secret: str
) -> None:
    """The task is asked for, and ends by the answer."""
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", secret)
    server = telling(secrets=[SECRET])
    assert run("--poll-interval", "3600") == 0
    assert created(server.world.ledger) == [1] * 8
