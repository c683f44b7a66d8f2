"""The program from Python: over real HTTP, with real files."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch import Access, Options, load, plan, run, run_sync
from kling_batch.errors import BudgetStop, Drift, ExitStatus, FolderHeld, ManifestInvalid, UsageError
from kling_batch.events import Event, RunEnded, RunStarted, TakeChanged, TakeEnded
from kling_batch.model import Origin, Status
from kling_batch.planning.plan import Action
from kling_batch.records.run_lock import is_held
from kling_batch.sandbox.settings import SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY

TAKES = 3
QUICK = Options(settle_time_s=0.2, poll_interval_s=0.05)
AGREED = replace(QUICK, consented=True)
AccessTo = Callable[[Any], Access]


def test_a_run_gives_what_came_of_every_take(manifest: Path, serve: Any, access_to: AccessTo) -> None:
    """The result is values, the sounds and reports are in place, and what is done is kept by the next run."""
    access = access_to(serve())
    outcome = run_sync(load(manifest), AGREED, access=access)
    assert outcome.stopped is None
    assert [take.status for take in outcome.result.takes] == [Status.SUCCEEDED] * TAKES
    assert outcome.result.units == Decimal("0.75")
    assert json.loads(Path("out/tavern/report.json").read_text())["summary"]["succeeded"] == TAKES
    again = run_sync(load(manifest))
    assert {take.origin for take in again.result.takes} == {Origin.KEPT}


def test_a_plan_says_what_a_run_would_do(manifest: Path) -> None:
    """It needs neither keys nor a folder, and an expression is one or a list."""
    project = load(str(manifest))
    assert plan(project).count(Action.GENERATE) == TAKES
    assert plan(project, select="tag:foley").units == Decimal("0.50")
    assert plan(project, select=["bell", "door:1"]).units == Decimal("0.50")
    assert not Path("out").exists()


def test_a_plan_says_what_the_store_has(manifest: Path, serve: Any, access_to: AccessTo, tmp_path: Path) -> None:
    """A sound that is gone from its place is found in the store that is named, and not without one."""
    run_sync(load(manifest), AGREED, access=access_to(serve()), store=tmp_path / "store")
    Path("out/tavern/bell-01.wav").unlink()
    project = load(manifest)
    assert "store" in next(step.reason for step in plan(project, store="store").steps if step.key.job_id == "bell")
    assert "service" in next(step.reason for step in plan(project).steps if step.key.job_id == "bell")


def test_what_nobody_agreed_to_is_not_spent(manifest: Path, serve: Any, access_to: AccessTo) -> None:
    """Without consent the amount is named, with what to add, and nothing is sent or written."""
    server = serve()
    with pytest.raises(BudgetStop, match=r"up to 0\.75 units") as stop:
        run_sync(load(manifest), access=access_to(server))
    assert stop.value.hint is not None
    assert "max_units=Decimal('0.75')" in stop.value.hint
    assert not server.world.ledger.requests
    assert not Path("out").exists()


def test_an_amount_is_consent_to_that_much(manifest: Path, serve: Any, access_to: AccessTo) -> None:
    """The budget is kept, and the error that stopped the run stands in the outcome."""
    server = serve()
    outcome = run_sync(load(manifest), replace(QUICK, max_units=Decimal("0.50")), access=access_to(server))
    assert isinstance(outcome.stopped, BudgetStop)
    assert outcome.result.exit_status == ExitStatus.BUDGET
    assert len(server.world.ledger.tasks) == 2


def test_keys_are_what_the_caller_gives(manifest: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library looks into no environment: with keys there and none given, it asks for them."""
    monkeypatch.setenv("KLING_API_KEY", "somebody-elses")
    monkeypatch.setenv("KLING_BASE_URL", serve().url)
    with pytest.raises(UsageError, match="who asks") as told:
        run_sync(load(manifest), AGREED)
    assert told.value.hint is not None
    assert "Access.of(os.environ)" in told.value.hint
    with pytest.raises(UsageError, match="keys"):
        Access.of({})


def test_a_sandbox_needs_neither_keys_nor_consent(manifest: Path) -> None:
    """What it makes has its own folder, as on the command line."""
    outcome = run_sync(load(manifest, sandbox=True), replace(QUICK, select=("bell",)))
    assert outcome.result.exit_status == 0
    assert Path("out/tavern.sandbox/bell-01.wav").is_file()


def test_everything_that_happens_is_told_in_order(manifest: Path, serve: Any, access_to: AccessTo) -> None:
    """An observer sees the beginning, every take's way and the end."""
    seen: list[Event] = []
    run_sync(load(manifest), AGREED, access=access_to(serve()), observe=seen.append)
    assert isinstance(seen[0], RunStarted)
    assert isinstance(seen[-1], RunEnded)
    assert sum(isinstance(event, TakeEnded) for event in seen) == TAKES
    assert {event.state for event in seen if isinstance(event, TakeChanged)} >= {"submitting", "in-flight"}


def test_the_library_prints_nothing(
    manifest: Path, serve: Any, access_to: AccessTo, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither in a run nor where one is refused."""
    with pytest.raises(BudgetStop):
        run_sync(load(manifest))
    run_sync(load(manifest), AGREED, access=access_to(serve()))
    assert capfd.readouterr() == ("", "")


async def _begun(coroutine: Any, flying: asyncio.Event) -> asyncio.Task[Any]:
    """Begin a run, and go on when it is under way, or has failed."""
    task = asyncio.create_task(coroutine)
    waiting = asyncio.create_task(flying.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return task


def _flies(flying: asyncio.Event, state: str) -> Callable[[Event], None]:
    return lambda event: flying.set() if isinstance(event, TakeChanged) and event.state == state else None


def test_a_cancelled_run_saves_what_is_known(manifest: Path, serve: Any, access_to: AccessTo) -> None:
    """Its tasks are noted, its reports say where it stands, the folder is free, and the next run pays nothing again."""
    server = serve(seconds=2.0)
    access = access_to(server)

    async def cancel() -> None:
        flying = asyncio.Event()
        observe = _flies(flying, "in-flight")
        task = await _begun(run(load(manifest), AGREED, access=access, observe=observe), flying)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert json.loads(Path("out/tavern/report.json").read_text())["exit_status"] == ExitStatus.INTERRUPTED
    assert not is_held(Path("out/tavern/.kling-batch"))
    assert run_sync(load(manifest), replace(QUICK, max_units=Decimal("0.75")), access=access).result.exit_status == 0
    assert sorted(server.world.ledger.tasks_by_external_id.values()) == [1] * TAKES


def test_a_run_that_is_cancelled_twice_waits_for_no_answer(
    manifest: Path, serve: Any, access_to: AccessTo, rule: Callable[..., Any]
) -> None:
    """Answers that are on their way are let go; the folder is free all the same."""
    server = serve(rules=(rule("delay_s", 60.0),))

    async def cancel() -> None:
        flying = asyncio.Event()
        observe = _flies(flying, "submitting")
        options = replace(AGREED, settle_time_s=0.0)
        task = await _begun(run(load(manifest), options, access=access_to(server), observe=observe), flying)
        task.cancel()
        asyncio.get_running_loop().call_soon(task.cancel)
        async with asyncio.timeout(4):
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    assert not is_held(Path("out/tavern/.kling-batch"))


SCRIPT = """
import signal, sys
from kling_batch import Access, Options, load, run_sync

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored by what it starts in the background
access = Access.of({"KLING_BASE_URL": sys.argv[1], "KLING_ACCESS_KEY": sys.argv[2], "KLING_SECRET_KEY": sys.argv[3]})
options = Options(settle_time_s=0.0, consented=True)
try:
    run_sync(load("tavern.yaml"), options, access=access, observe=lambda event: print(event, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupted_script_saves_what_is_known(manifest: Path, serve: Any) -> None:
    """`Ctrl-C` in the blocking form stops the run softly, and then is what it always is."""
    server = serve(seconds=30.0)
    command = [sys.executable, "-c", SCRIPT, server.url, SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY]
    with subprocess.Popen(command, cwd=manifest.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("in-flight" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert said.splitlines()[-1] == "interrupted"
    assert process.returncode == 0
    assert json.loads(Path("out/tavern/report.json").read_text())["exit_status"] == ExitStatus.INTERRUPTED


def test_a_run_works_beside_others_on_a_running_loop(manifest: Path, tmp_path: Path) -> None:
    """As in a notebook: two projects at once, awaited on one loop."""

    async def both() -> list[int]:
        projects = [load(manifest, sandbox=True, out=tmp_path / name, lock=tmp_path / f"{name}.lock") for name in "ab"]
        outcomes = await asyncio.gather(*(run(project, replace(QUICK, select=("bell",))) for project in projects))
        return [outcome.result.exit_status for outcome in outcomes]

    assert asyncio.run(both()) == [0, 0]


def test_one_folder_takes_one_run(manifest: Path, serve: Any, access_to: AccessTo) -> None:
    """A second run of the same folder is refused before it sends anything."""
    access = access_to(serve(seconds=2.0))

    async def twice() -> None:
        flying = asyncio.Event()
        observe = _flies(flying, "in-flight")
        task = await _begun(run(load(manifest), AGREED, access=access, observe=observe), flying)
        with pytest.raises(FolderHeld):
            await run(load(manifest), AGREED, access=access)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(twice())


def test_locked_and_frozen_refuse_what_would_have_to_be_paid(manifest: Path) -> None:
    """Each raises, with every take that is in the way."""
    with pytest.raises(Drift, match="door:1"):
        run_sync(load(manifest), Options(locked=True, consented=True))
    with pytest.raises(Drift, match="door:1"):
        run_sync(load(manifest), Options(frozen=True, consented=True))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retries": 21}, "from 0 to 20"),
        ({"concurrency": 0}, "from 1 to 1000"),
        ({"poll_interval_s": 0.0}, "from 0.05 to 3600"),
        ({"settle_time_s": float("nan")}, "from 0 to 3600"),
        ({"deadline_s": 0.0}, "at least 0.1"),
        ({"patience_s": 0.5}, "at least 1"),
        ({"max_units": Decimal("NaN")}, "2.50"),
        ({"max_units": Decimal("Infinity")}, "2.50"),
        ({"max_units": Decimal(-1)}, "2.50"),
        ({"locked": True, "frozen": True}, "stricter"),
    ],
)
def test_an_option_that_is_not_allowed_is_told(manifest: Path, options: dict[str, Any], told: str) -> None:
    """What is allowed stands in the error, and nothing is begun."""
    with pytest.raises(UsageError) as error:
        run_sync(load(manifest, sandbox=True), Options(**options))
    assert error.value.hint is not None
    assert told in error.value.hint
    assert not Path("out").exists()


def test_a_sandbox_takes_no_access(manifest: Path) -> None:
    """A project that was loaded for the sandbox asks no service, and whoever passes one is told."""
    with pytest.raises(UsageError) as error:
        run_sync(load(manifest, sandbox=True), access=Access.of({"KLING_API_KEY": "a-key"}))
    assert error.value.hint is not None
    assert "Leave access out" in error.value.hint


def test_a_manifest_with_problems_raises_all_of_them(manifest: Path) -> None:
    """As values, each with its place."""
    manifest.write_text("version: 1\nproject: p\njobs:\n  - {id: a}\n  - {id: b, prompt: '', takes: 0}\n")
    with pytest.raises(ManifestInvalid) as error:
        load(manifest)
    assert [problem.line for problem in error.value.problems] == [4, 5, 5]
