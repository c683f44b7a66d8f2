"""A project folder, and a sandbox on a real socket whose keys are handed over and stand in no environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from kling_batch import Access
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.faults import EFFECTS, Call, Effect, Rule
from kling_batch.sandbox.settings import SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, Span, WorldSettings
from tests.quick_clips import quick_clip

MANIFEST = """
version: 1
project: tavern
defaults: {duration: 3.0}
jobs:
  - {id: door, prompt: Old oak door creaks open, takes: 2, tags: [foley]}
  - {id: bell, prompt: A small brass bell}
"""


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of three takes, in a folder of its own."""
    path = tmp_path / "tavern.yaml"
    path.write_text(MANIFEST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


class Serve(Protocol):
    def __call__(self, *, rules: tuple[Rule, ...] = (), seconds: float = 0.05) -> SandboxServer: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a sandbox on loopback."""
    with ExitStack() as stack:

        def start(*, rules: tuple[Rule, ...] = (), seconds: float = 0.05) -> SandboxServer:
            settings = WorldSettings(generation=Span.fixed(seconds), queue=Span.fixed(0.0), sample_rate=8000)
            return stack.enter_context(SandboxServer(settings, rules=rules, synth=quick_clip))

        yield start


@pytest.fixture
def access_to() -> Callable[[SandboxServer], Access]:
    """Make the access to a sandbox."""
    return lambda server: Access.of(
        {
            "KLING_BASE_URL": server.url,
            "KLING_ACCESS_KEY": SANDBOX_ACCESS_KEY,
            "KLING_SECRET_KEY": SANDBOX_SECRET_KEY,
        }
    )


@pytest.fixture
def rule() -> Callable[..., Rule]:
    """Make a fault rule for create calls from an effect's name."""
    on = frozenset({Call.CREATE})
    return lambda name, value=None, **when: replace(
        Rule(on=on, effect=Effect(name=name, value=EFFECTS[name].default if value is None else value)), **when
    )
