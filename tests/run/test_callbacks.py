"""Callbacks of the service, as hints: from the command line, against the sandbox over HTTP."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.scenario import scenario_of
from kling_batch.sandbox.settings import SANDBOX_API_KEY, Span, WorldSettings
from tests.quick_clips import quick_clip

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


@pytest.mark.parametrize(
    "habits",
    [
        {"lost": 1},
        {"lost": 0.5, "doubled": 0.5},
        {"doubled": 1, "late_s": [0, 0.3]},
        {"late_s": 0.5, "states": "ended"},
        {"forged": 1},
        {"results": False},
    ],
    ids=["lost", "some-lost", "doubled-and-reordered", "late", "forged", "without-results"],
)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_whatever_becomes_of_callbacks_every_take_is_made_once(
    run: Any, telling: Any, monkeypatch: pytest.MonkeyPatch, created: Any, habits: Any, signed: bool
) -> None:
    """They cost requests, and no sound: polling finds what they do not tell, and what they lie about."""
    if signed:
        monkeypatch.setenv("KLING_WEBHOOK_SECRET", SECRET)
    server = telling(**habits, **({"secrets": [SECRET]} if signed else {}))
    assert run() == 0
    assert created(server.world.ledger) == [1] * 8


@pytest.mark.parametrize(("lost", "warned"), [(1, True), (0, False)])
def test_that_none_ever_came_is_said_once(
    run: Any, telling: Any, tavern: Any, capsys: pytest.CaptureFixture[str], lost: int, warned: bool
) -> None:
    """With what to check, on the terminal and in the report; a run that sends nothing misses none."""
    telling(lost=lost)
    assert run() == 0
    said, page = capsys.readouterr().err, (tavern.out / "report.md").read_text()
    for text in (said, page):
        assert text.count("No callback came while 8 tasks ended") == int(warned)
        assert ("the tunnel runs" in text) is warned
    assert run() == 0
    assert "No callback came" not in capsys.readouterr().err


def test_the_address_is_no_part_of_what_is_asked_for(run: Any, telling: Any, tavern: Any, created: Any) -> None:
    """With another address, or none, a finished set is kept."""
    server = telling()
    assert run() == 0
    assert tavern.run() == 0
    assert created(server.world.ledger) == [1] * 8
    assert "hook" not in tavern.manifest.with_name("tavern.yaml.lock").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--callback-url", "https://x.test"], "--listen is missing"),
        (["--listen", "127.0.0.1:8765"], "--callback-url is missing"),
        (["--callback-url", "http://x.test", "--listen", "127.0.0.1:8765"], "no https URL"),
        (["--callback-url", "https://a:b@x.test", "--listen", "127.0.0.1:8765"], "no https URL"),
        (["--callback-url", "https://x.test", "--listen", "8765"], "HOST:PORT"),
        (["--callback-url", "https://x.test", "--listen", "127.0.0.1:99999"], "HOST:PORT"),
        (["--callback-url", "https://x.test", "--listen", "nowhere.invalid:8765"], "--listen nowhere.invalid:8765: "),
        (["--callback-url", "https://x.test", "--listen", "127.0.0.1:8765", "--sandbox"], "sends no callbacks"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(
    tavern: Any, telling: Any, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    """Exit status 2, and what to do."""
    server = telling()
    assert tavern.run(*options) == 2
    assert words in capsys.readouterr().err
    assert not server.world.ledger.requests


def test_a_port_that_is_taken_is_named(run: Any, telling: Any, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent."""
    server = telling()
    with socket.create_server(("127.0.0.1", port)):
        assert run() == 2
    said = capsys.readouterr().err
    assert f"--listen 127.0.0.1:{port}: " in said
    assert "Choose another port" in said
    assert not server.world.ledger.requests


def test_a_secret_that_is_none_is_not_shown(
    run: Any, telling: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2: signatures could not be checked."""
    telling()
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", "whsec_hushh")
    assert run() == 2
    said = capsys.readouterr().err
    assert "KLING_WEBHOOK_SECRET holds" in said
    assert "hush" not in said


def test_without_the_extra_a_secret_says_what_to_install(
    run: Any, telling: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has a secret wants signatures to be checked."""
    telling()
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", SECRET)
    monkeypatch.setitem(sys.modules, "standardwebhooks", None)
    assert run() == 2
    assert "pip install 'kling-batch[callbacks]'" in capsys.readouterr().err
