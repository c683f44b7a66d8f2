"""Two caps: what this run may add, and what the whole set may cost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from kling_batch.cli import main
from kling_batch.errors import ExitStatus
from kling_batch.resources import schema
from kling_batch.running.endings import OVER
from kling_batch.sandbox.faults import Call, Rule
from kling_batch.sandbox.settings import Behaviour
from tests.run.conftest import TAKES

QUICK = ("--settle-time", "0.1", "--poll-interval", "0.05")
Run = Callable[..., int]
Plan = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tavern: Any) -> Run:
    """Run by these options alone, where nobody can be asked."""
    return lambda *options: main(["run", str(tavern.manifest), *QUICK, *options])


@pytest.fixture
def plan(tavern: Any, capsys: pytest.CaptureFixture[str]) -> Plan:
    """Plan with these options; gives the sum of the JSON, which is held to its schema."""

    def make(*options: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["plan", str(tavern.manifest), "--format", "json", *options]) == 0
        told = json.loads(capsys.readouterr().out)
        jsonschema.validate(told, schema("plan"))
        summary: dict[str, Any] = told["summary"]
        return summary

    return make


def test_a_run_that_ended_by_itself_is_over(run: Run, serve: Any) -> None:
    """What it spent is none of the next one's, which may add as much again."""
    server = serve()
    assert run("--max-units", "1.00") == 4
    assert len(server.world.ledger.tasks) == 4
    assert run("--max-units", "0.50") == 4
    assert len(server.world.ledger.tasks) == 6
    assert run("--max-units", "1.00") == 0
    assert len(server.world.ledger.tasks) == TAKES


def test_a_run_that_was_stopped_goes_on_cap_and_all(
    tavern: Any, run: Run, plan: Plan, serve: Any, rule: Callable[..., Rule]
) -> None:
    """Something stopped it: the next run may add what is left, also where files were restored in between."""
    server = serve(rules=(rule("refuse", 1202, on=Call.CREATE, nth=frozenset({3})),), seconds=0.5)
    assert run("--max-units", "1.00", "--concurrency", "1") == 6
    assert len(server.world.ledger.tasks) == 2
    assert main(["restore", str(tavern.manifest)]) == 3
    left = plan("--max-units", "1.00")
    assert (left["units_spent_this_run"], left["max_units_left"]) == ("0.50", "0.50")
    assert run("--max-units", "1.00") == 4
    assert len(server.world.ledger.tasks) == 4
    assert plan("--max-units", "1.00")["max_units_left"] == "1.00"


@pytest.mark.parametrize("status", [*ExitStatus])
def test_a_run_is_over_by_how_it_ended(status: ExitStatus) -> None:
    """What was interrupted, terminated or stopped goes on, and so does what met a bug."""
    assert (status in OVER) is (int(status) in {0, 1, 3, 4, 5})


def test_the_set_is_capped_by_its_lock(tavern: Any, run: Run, serve: Any) -> None:
    """A machine without journal and files spends no more than the team has agreed to."""
    server = serve(seconds=0.5)
    assert run("--yes", "--max-total-units", "1.00") == 4
    assert len(server.world.ledger.tasks) == 4
    shutil.rmtree(tavern.out)
    assert run("--yes", "--max-total-units", "1.00") == 4
    assert len(server.world.ledger.tasks) == 4
    assert run("--max-units", "0.25", "--max-total-units", "1.50") == 4
    assert run("--max-units", "9", "--max-total-units", "1.50") == 4
    assert len(server.world.ledger.tasks) == 6


def test_failed_attempts_and_sounds_that_were_rolled_again_count_for_the_set(
    tavern: Any, run: Run, plan: Plan, serve: Any, rule: Callable[..., Rule]
) -> None:
    """Both were paid for: by the journal while they are new, and by the lock for everybody else."""
    serve(rules=(rule("task-fails", nth=frozenset({1})),), behaviour=Behaviour(charge_failures=True))
    assert run("--yes", "--select", "door:1") == 0
    assert main(["reroll", str(tavern.manifest), "door:1", "--yes", *QUICK]) == 0
    assert plan()["units_spent"] == "0.75"
    shutil.rmtree(tavern.out)
    assert plan()["units_spent"] == "0.75"


def test_a_cap_of_the_set_agrees_to_nothing(run: Run, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Spending needs --yes or --max-units."""
    server = serve()
    assert run("--max-total-units", "9") == 4
    assert "--yes, or --max-units 1.75" in capsys.readouterr().err
    assert sum(server.world.ledger.requests.values()) == 0


def test_the_plan_says_what_is_left(tavern: Any, run: Run, plan: Plan, serve: Any, capsys: Any) -> None:
    """Of each cap that is given; and where that is less than it may cost."""
    serve()
    assert run("--max-units", "1.00") == 4
    assert main(["plan", str(tavern.manifest), "--max-units", "0.50", "--max-total-units", "9"]) == 0
    said = capsys.readouterr().out
    assert "This run: 0.50 of 0.50 units are left." in said
    assert "The set: 8.00 of 9.00 units are left, 1.00 are spent." in said
    assert "The plan may cost more than is left" in said
    left = plan("--max-units", "0.50", "--max-total-units", "9")
    assert (left["max_units_left"], left["max_total_units_left"]) == ("0.50", "8.00")
    assert (left["units_spent"], left["units_spent_this_run"]) == ("1.00", "0.00")
    assert plan()["max_units_left"] is None
