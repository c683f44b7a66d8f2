"""Stopping a run from outside, and what stands in its way. Real processes, real signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from kling_batch.sandbox.faults import Call, Rule
from kling_batch.sandbox.settings import Span

TAKES = 7


def _start(tavern: Any, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kling_batch", "run", str(tavern.manifest), "--yes", "--verbose"]
    command += ["--settle-time", "0.2", "--poll-interval", "0.05", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ), cwd=tavern.folder)


def _wait_for(process: subprocess.Popen[str], word: str) -> str:
    """Read what a run says until it says a word; its output ends when it does, so that this comes to an end."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if word in line:
            return said
    raise AssertionError(f"it never said {word!r}:\n{said}")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_reports_and_the_next_run_resumes(
    tavern: Any, serve: Any, created: Callable[..., list[int]], number: int, status: int
) -> None:
    """At the first signal nothing more is sent, the report is written, and what was made is collected later."""
    server = serve(seconds=3.0)
    process = _start(tavern)
    _wait_for(process, "in-flight")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status, said
    assert tavern.report()["exit_status"] == status
    assert tavern.report()["summary"]["pending"] == TAKES
    assert tavern.run() == 0
    assert created(server.world.ledger) == [1] * TAKES


def test_a_second_signal_ends_at_once(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """Who asks twice does not wait for the answers that are on their way."""
    serve(rules=(rule("delay_s", 60.0, on=Call.CREATE),))
    process = _start(tavern)
    _wait_for(process, "submitting")
    process.send_signal(signal.SIGINT)
    _wait_for(process, "Stopping")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=4)
    assert process.returncode == 130


def test_a_second_run_in_one_folder_is_told_who_holds_it(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only one run works in a folder; the other names its process and ends with 6, without a call."""
    server = serve(seconds=3.0)
    process = _start(tavern)
    _wait_for(process, "in-flight")
    assert tavern.run() == 6
    assert f"process {process.pid}" in capsys.readouterr().err
    assert max(server.world.ledger.posts.values()) == 1
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def test_a_torn_journal_stops_the_run_before_anything_is_sent(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal that cannot be read is neither guessed at nor reset."""
    server = serve()
    tavern.run("--select", "door:1")
    journal = tavern.out / ".kling-batch" / "journal.sqlite3"
    torn = b"torn" * 100
    journal.write_bytes(torn)
    before = sum(server.world.ledger.requests.values())
    assert tavern.run() == 6
    assert str(journal.relative_to(tavern.folder)) in capsys.readouterr().err
    assert sum(server.world.ledger.requests.values()) == before
    assert journal.read_bytes() == torn


def test_an_output_folder_that_cannot_be_made_stops_the_run_before_anything_is_sent(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the sounds cannot go, none is paid for."""
    server = serve()
    (tavern.folder / "out").write_text("a file in the way")
    assert tavern.run() == 6
    assert "out" in capsys.readouterr().err
    assert server.world.ledger.requests["create"] == 0


def test_a_service_that_stays_away_ends_the_run_after_patience(
    tavern: Any, serve: Any, rule: Callable[..., Rule], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for ever: after --patience the run ends with 6, and can be resumed."""
    server = serve(rules=(rule("error-before", 5001, limit=40),))
    assert tavern.run("--patience", "1.5", "--select", "door:1") == 6
    assert "--patience" in capsys.readouterr().err
    assert len(server.world.ledger.tasks) == 0


def test_a_clock_that_is_wrong_is_mended_by_the_services(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """A token that is not valid yet is signed again by the service's clock, once, and the run goes on."""
    server = serve(rules=(rule("refuse", 1003, on=Call.LIST, limit=1),))
    assert tavern.run() == 0
    assert server.world.ledger.refusals[1003] == 1


def test_a_folder_that_only_fetched_has_not_looked_through_the_account(
    tavern: Any, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh folder whose first run had nothing to send still looks twice before its first POST."""
    serve()
    tavern.run("--select", "door:1")
    shutil.rmtree(tavern.out)
    tavern.run("--select", "door:1")
    capsys.readouterr()
    assert tavern.run("--select", "door:2") == 0
    assert "twice, 0.2 s apart" in capsys.readouterr().err


def test_an_account_stop_brings_home_what_is_paid_for(tavern: Any, serve: Any, rule: Callable[..., Rule]) -> None:
    """A stop of the account sends nothing more, and what it has made already is delivered, also by a later run."""
    serve(seconds=0.3, rules=(rule("refuse", 1102, on=Call.CREATE, from_nth=3),))
    assert tavern.run("--concurrency", "2") == 5
    assert tavern.report()["summary"]["succeeded"] == 2
    assert tavern.report()["summary"]["pending"] == TAKES - 2


def test_a_lock_without_a_folder_is_told_before_anything_is_paid(tavern: Any, serve: Any) -> None:
    """Where the lock cannot be written, nothing is sent."""
    server = serve()
    assert tavern.run("--lock", "nowhere/tavern.lock") == 6
    assert sum(server.world.ledger.requests.values()) == 0


def test_a_look_at_some_takes_is_none_at_the_others(tavern: Any, serve: Any) -> None:
    """A journal that was begun with a selection still asks the account for each of the rest before it sends them."""
    server = serve()
    tavern.run("--select", "door:1")
    asked = server.world.ledger.requests["query"]
    assert tavern.run() == 0
    assert server.world.ledger.requests["query"] - asked >= TAKES - 1


def test_a_duplicate_that_becomes_visible_late_is_found_and_not_failed(
    tavern: Any, serve: Any, created: Callable[..., list[int]], rule: Callable[..., Rule]
) -> None:
    """A refusal that means a known id is not taken for the end of the take while its task may still be invisible.

    Two looks, the settle time apart, end before the first task is visible; the look after the refusal ends later.
    """
    late = Span.fixed(1.5)
    server = serve(rules=(rule("task-late", (late, late), limit=1),), seconds=4.0)
    assert tavern.run("--settle-time", "0", "--deadline", "0.4") == 6
    shutil.rmtree(tavern.out)
    (tavern.folder / "tavern.yaml.lock").unlink(missing_ok=True)
    assert tavern.run("--settle-time", "1") == 0
    assert created(server.world.ledger) == [1] * TAKES


def test_sigterm_outside_the_loop_has_its_exit_status(tavern: Any) -> None:
    """Whenever the system asks the program to end, it ends with 143 and words."""
    code = (
        "import os, signal, sys\n"
        "from kling_batch.cli.commands import validate\n"
        "validate.load = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)\n"
        "from kling_batch.cli import main\n"
        "sys.exit(main(['validate', 'tavern.yaml']))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tavern.folder, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (143, "Terminated.")
