"""One line of money everywhere: what this run cost, and what the set cost so far."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.cli import main
from kling_batch.sandbox.faults import Rule
from kling_batch.sandbox.settings import Behaviour

Told = Callable[[], tuple[str, str]]


@pytest.fixture
def told(tavern: Any, capsys: pytest.CaptureFixture[str]) -> Told:
    """Read what the terminal and every report say of money; gives this run's units and the set's."""

    def read() -> tuple[str, str]:
        totals = tavern.report()["summary"]
        line = f"this run {totals['units_this_run']}; the set {totals['units']} units"
        assert line in capsys.readouterr().err
        for name in ("report.html", "report.md", "junit.xml"):
            assert line in (tavern.out / name).read_text()
        assert main(["status", str(tavern.manifest)]) == 0
        assert line in capsys.readouterr().out
        return totals["units_this_run"], totals["units"]

    return read


def test_a_run_that_pays_nothing_says_so(tavern: Any, serve: Any, told: Told) -> None:
    """The second run keeps everything, and what the first one paid is the set's alone, also for a part of it."""
    serve()
    assert tavern.run() == 0
    assert told() == ("1.75", "1.75")
    assert tavern.run() == 0
    assert told() == ("0.00", "1.75")
    assert tavern.run("--select", "door:1") == 0
    assert told() == ("0.00", "1.75")


def test_what_another_machine_paid_is_none_of_this_runs(tavern: Any, serve: Any, told: Told) -> None:
    """With nothing but the manifest, the sounds come from the account, and the money was spent before."""
    serve()
    assert tavern.run("--no-store") == 0
    shutil.rmtree(tavern.out)
    (tavern.folder / "tavern.yaml.lock").unlink()
    assert tavern.run("--no-store") == 0
    assert told() == ("0.00", "1.75")


def test_a_sound_that_is_rolled_again_counts_twice(tavern: Any, serve: Any, told: Told) -> None:
    """Both sounds are paid for: one by this run."""
    serve()
    assert tavern.run() == 0
    assert main(["reroll", str(tavern.manifest), "door:2", "--yes", "--poll-interval", "0.05"]) == 0
    assert told() == ("0.25", "2.00")


def test_a_failed_attempt_that_was_charged_counts(
    tavern: Any, serve: Any, told: Told, rule: Callable[..., Rule]
) -> None:
    """Once, for this run and for the set, with journal and lock and with the lock alone."""
    serve(rules=(rule("task-fails", nth=frozenset({2})),), behaviour=Behaviour(charge_failures=True))
    assert tavern.run() == 0
    assert told() == ("2.00", "2.00")
    assert tavern.run() == 0
    assert told() == ("0.00", "2.00")
    shutil.rmtree(tavern.out)
    assert tavern.run() == 0
    assert told() == ("0.00", "2.00")


def test_a_sandbox_spends_nothing_and_shows_no_units(
    tavern: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Plan, run, status and the reports for people say so; report.json has what it pretends to charge, and says so."""
    words = [str(tavern.manifest), "--sandbox", "--select", "door:1"]
    assert main(["plan", *words]) == 0
    assert main(["run", *words, "--poll-interval", "0.05"]) == 0
    assert main(["status", *words]) == 0
    said = capsys.readouterr()
    out = tmp_path / "out" / "tavern.sandbox"
    for text in (said.out, said.err):
        assert "sandbox: nothing " in text
        assert "units" not in text
    for name in ("report.md", "junit.xml"):
        text = (out / name).read_text()
        assert "sandbox: nothing spent" in text
        assert "0.25" not in text
    [row] = csv.DictReader((out / "report.csv").read_text().splitlines())
    assert row["units"] == "0.00"
    report = tavern.report(out)
    assert (report["sandbox"], report["summary"]["units"]) == (True, "0.25")
