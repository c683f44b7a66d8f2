"""A project folder, a sandbox on a real socket, and the program called as a person calls it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from kling_batch.cli import main
from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.clips import Synth
from kling_batch.sandbox.faults import ALL_CALLS, EFFECTS, Call, Effect, Rule
from kling_batch.sandbox.ledger import Ledger
from kling_batch.sandbox.settings import SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY, Behaviour, Span, WorldSettings
from tests.quick_clips import quick_clip

MANIFEST = """
version: 1
project: tavern
defaults: {duration: 3.0, formats: [wav, mp3]}
jobs:
  - id: door
    prompt: Old oak door creaks open
    takes: 3
    tags: [foley]
  - id: "step-{surface}"
    prompt: "Footsteps on {surface}"
    matrix: {surface: [oak, wet stone]}
    takes: 2
    file: "steps/{surface}/{id}-{take:02}"
"""
TAKES = 7


@dataclass(frozen=True, kw_only=True)
class Tavern:
    """A project in a folder of its own."""

    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "tavern.yaml"

    @property
    def out(self) -> Path:
        return self.folder / "out" / "tavern"

    def report(self, out: Path | None = None) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(((out or self.out) / "report.json").read_text())
        return loaded

    def sounds(self) -> list[str]:
        return sorted(
            file.relative_to(self.out).as_posix()
            for file in self.out.rglob("*")
            if file.suffix in {".wav", ".mp3"} and ".kling-batch" not in file.parts
        )

    def run(self, *options: str) -> int:
        return main(["run", str(self.manifest), "--yes", "--settle-time", "0.2", "--poll-interval", "0.05", *options])


@pytest.fixture
def tavern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tavern:
    project = Tavern(folder=tmp_path)
    project.manifest.write_text(MANIFEST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return project


Jobs = dict[str, list[Any]]


@pytest.fixture
def jobs(tavern: Tavern) -> Callable[[], Jobs]:
    """Read the jobs off the page, by their ids."""

    def read() -> Jobs:
        text = (tavern.out / "report.html").read_text(encoding="utf-8")
        blocks = re.findall(r'data-block="jobs">(.*?)</script>', text, re.DOTALL)
        return {job[0]: job for block in blocks for job in json.loads(block)}

    return read


class Serve(Protocol):
    def __call__(
        self,
        *,
        concurrency: int = 10,
        rules: tuple[Rule, ...] = (),
        behaviour: Behaviour = ...,
        seconds: float = 0.05,
        synth: Synth = ...,
    ) -> SandboxServer: ...


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a sandbox on loopback and point the environment at it."""
    with ExitStack() as stack:

        def start(
            *,
            concurrency: int = 10,
            rules: tuple[Rule, ...] = (),
            behaviour: Behaviour = Behaviour(),  # noqa: B008 - a frozen value
            seconds: float = 0.05,
            synth: Synth = quick_clip,
        ) -> SandboxServer:
            settings = WorldSettings(
                concurrency=concurrency,
                generation=Span.fixed(seconds),
                queue=Span.fixed(0.0),
                sample_rate=8000,
                behaviour=behaviour,
            )
            server = stack.enter_context(SandboxServer(settings, rules=rules, synth=synth))
            monkeypatch.setenv("KLING_BASE_URL", server.url)
            monkeypatch.setenv("KLING_ACCESS_KEY", SANDBOX_ACCESS_KEY)
            monkeypatch.setenv("KLING_SECRET_KEY", SANDBOX_SECRET_KEY)
            return server

        yield start


@pytest.fixture
def rule() -> Callable[..., Rule]:
    """Make a fault rule from an effect's name."""

    def make(name: str, value: Any = None, *, on: Call | None = None, **when: Any) -> Rule:
        kind = EFFECTS[name]
        calls = frozenset({on}) if on is not None else kind.calls & ALL_CALLS
        return replace(Rule(on=calls, effect=Effect(name=name, value=kind.default if value is None else value)), **when)

    return make


@pytest.fixture
def created() -> Callable[[Ledger], list[int]]:
    """Count the tasks made for each external id, from the sandbox's books."""
    return lambda ledger: sorted(ledger.tasks_by_external_id.values())
