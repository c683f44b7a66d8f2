"""A sandbox on a real socket, with the environment pointed at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.faults import Rule
from kling_batch.sandbox.settings import SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, WorldSettings
from tests.quick_clips import quick_clip


class Serve(Protocol):
    def __call__(self, *, rules: tuple[Rule, ...] = (), now: Callable[[], float] = ...) -> SandboxServer: ...


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a sandbox on loopback and point the environment at it."""
    with ExitStack() as stack:

        def start(*, rules: tuple[Rule, ...] = (), now: Callable[[], float] = time.time) -> SandboxServer:
            server = stack.enter_context(SandboxServer(WorldSettings(), rules=rules, synth=quick_clip, now=now))
            monkeypatch.setenv("KLING_BASE_URL", server.url)
            monkeypatch.setenv("KLING_ACCESS_KEY", SANDBOX_ACCESS_KEY)
            monkeypatch.setenv("KLING_SECRET_KEY", SANDBOX_SECRET_KEY)
            return server

        yield start
