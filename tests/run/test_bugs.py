"""A bug of the program's own, met in the middle of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kling_batch.delivery.download import Downloader
from kling_batch.model import Status
from kling_batch.running.reconcile import Reconciler
from tests.run.conftest import TAKES, Serve, Tavern


def _log(said: str) -> str:
    """Read the log file that is named."""
    named = re.search(r"(?:report it with|in the log:) (\S+\.log)", said)
    assert named is not None, said
    path = Path(named[1])
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text


@pytest.fixture
def buggy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have a method fail at its first call."""

    def make(owner: type, name: str) -> None:
        sound, calls = getattr(owner, name), iter((True,))

        async def fail_once(*given: Any, **named: Any) -> Any:
            if next(calls, False):
                raise ZeroDivisionError("of all things")
            return await sound(*given, **named)

        monkeypatch.setattr(owner, name, fail_once)

    return make


def test_a_bug_in_a_takes_work_is_reported_with_the_take(
    tavern: Tavern, serve: Serve, buggy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are delivered, the log file is named, and the next run brings home what was paid for."""
    server = serve()
    buggy(Downloader, "fetch")
    assert tavern.run() == 1
    takes = tavern.report()["takes"]
    assert sorted(take["status"] for take in takes) == [Status.FAILED] + [Status.SUCCEEDED] * (TAKES - 1)
    (failed,) = [take for take in takes if take["status"] == Status.FAILED]
    assert "a bug in kling-batch: ZeroDivisionError" in failed["error"]["message"]
    assert "of all things" in _log(capsys.readouterr().err)
    assert tavern.run() == 0
    assert set(server.world.ledger.tasks_by_external_id.values()) == {1}


def test_a_bug_about_all_takes_is_an_internal_error_with_a_report(
    tavern: Tavern, serve: Serve, buggy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 8, a line, the log file and the reports; the next run goes on."""
    server = serve()
    buggy(Reconciler, "prove")
    assert tavern.run() == 8
    said = capsys.readouterr().err
    assert "Internal error: ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "of all things" in _log(said)
    assert tavern.report()["exit_status"] == 8
    assert tavern.run() == 0
    assert set(server.world.ledger.tasks_by_external_id.values()) == {1}
