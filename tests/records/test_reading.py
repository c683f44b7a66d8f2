"""What a journal tells to those who only look, and what counts as spent."""

from __future__ import annotations

import asyncio
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch import records
from kling_batch.model import LimitPoint, RunResult
from kling_batch.records.attempts import Stage
from kling_batch.records.layout import FOLDER
from kling_batch.records.snapshot import read_snapshot


def ended(*, exit_status: int = 0, api_requests: int = 1, **facts: Any) -> RunResult:
    """Make the result of a run that ended at 9 s."""
    return RunResult(
        project="p",
        manifest="m",
        started_at=1.0,
        finished_at=9.0,
        exit_status=exit_status,
        takes=(),
        api_requests=api_requests,
        **facts,
    )


def test_a_folder_without_a_journal_is_an_empty_one(out: Path) -> None:
    """Looking makes nothing."""
    snapshot = read_snapshot(out)
    assert (snapshot.attempts, snapshot.files, snapshot.last_run) == ({}, {}, None)
    assert not out.exists()


def test_a_snapshot_is_read_while_a_run_writes(open_journal: Any, attempt: Any, placed: Any, out: Path) -> None:
    """It holds nobody up, and shows what was committed."""
    journal = open_journal()
    journal.start_run(1.0)
    asyncio.run(journal.save(attempt(stage=Stage.DELIVERED), [placed()]))
    journal._connection.execute("UPDATE attempts SET stage = 'failed'")
    snapshot = read_snapshot(out)
    journal._connection.rollback()
    assert snapshot.attempts == {"kb-1": attempt(stage=Stage.DELIVERED)}
    assert snapshot.files == {"kb-1": [placed()]}
    assert snapshot.last_run is not None
    assert snapshot.last_run.finished_at is None


def test_a_run_is_kept_with_its_end(open_journal: Any, out: Path) -> None:
    """The latest run is the one that is shown."""
    journal = open_journal()
    first = journal.start_run(1.0)
    second = journal.start_run(2.0)
    asyncio.run(journal.end_run(second, ended(exit_status=6, api_requests=19, note="deadline")))
    run = read_snapshot(out).last_run
    assert run is not None
    assert second == first + 1
    assert (run.id, run.started_at, run.finished_at, run.exit_status) == (second, 2.0, 9.0, 6)
    assert (run.api_requests, run.note) == (19, "deadline")


def test_a_run_is_kept_with_the_history_of_its_limit(open_journal: Any, out: Path) -> None:
    """The reports can be written again with it."""
    journal = open_journal()
    limits = (LimitPoint(at=1.0, limit=4, reason="the beginning"), LimitPoint(at=2.5, limit=8, reason='"growth"'))
    run = journal.start_run(1.0)
    asyncio.run(journal.end_run(run, ended(limits=limits)))
    found = read_snapshot(out).last_run
    assert found is not None
    assert found.limits == limits


def test_a_journal_of_an_older_program_is_read_and_left_as_it_is(out: Path) -> None:
    """Whoever only looks brings no layout up to date: the older program may still be at work."""
    folder = out / FOLDER
    folder.mkdir(parents=True)
    first = Path(records.__file__).parent / "migrations" / "0001.sql"
    old = sqlite3.connect(folder / "journal.sqlite3")
    old.executescript(
        f"{first.read_text(encoding='utf-8')} PRAGMA application_id = 0x6B6C6261; PRAGMA user_version = 1;"
    )
    old.execute("INSERT INTO runs (started_at, finished_at, exit_status) VALUES (1.0, 2.0, 0)")
    old.commit()
    run = read_snapshot(out).last_run
    assert run is not None
    assert (run.exit_status, run.limits) == (0, ())
    assert old.execute("PRAGMA user_version").fetchone() == (1,)
    old.close()


def test_a_fact_about_the_journal_is_kept(open_journal: Any) -> None:
    """The last one that was set."""
    journal = open_journal()
    assert journal.get_meta("generation_s") is None
    asyncio.run(journal.set_meta("generation_s", "20"))
    asyncio.run(journal.set_meta("generation_s", "21"))
    journal.close()
    assert open_journal().get_meta("generation_s") == "21"


def test_a_sandbox_that_is_gone_leaves_what_was_delivered(open_journal: Any, attempt: Any) -> None:
    """Its tasks in flight are nowhere any more; finished takes stay finished."""
    journal = open_journal()
    asyncio.run(journal.save_all([(attempt(f"kb-{stage}", stage=stage), []) for stage in Stage]))
    journal.forget_unfinished()
    assert set(read_snapshot(journal.folder.parent).attempts) == {"kb-delivered", "kb-failed", "kb-refused"}


COUNTED = {
    Stage.INTENT: True,
    Stage.WITHDRAWN: False,
    Stage.CREATED: True,
    Stage.SUCCEEDED: True,
    Stage.DELIVERED: True,
    Stage.FAILED: True,
    Stage.REFUSED: False,
}


@pytest.mark.parametrize("stage", Stage)
def test_units_count_once_they_may_have_been_paid(attempt: Any, stage: Stage) -> None:
    """An intent reserves: its POST may have been read. What is known to have made nothing is free."""
    assert attempt(stage=stage).counted == (Decimal("0.25") if COUNTED[stage] else 0)


def test_what_only_the_lock_knew_was_not_paid_here(attempt: Any) -> None:
    """Run 0 is nobody's run."""
    assert attempt(stage=Stage.DELIVERED, run_id=0).counted == 0


def test_units_keep_their_cents(open_journal: Any, attempt: Any) -> None:
    """They are written as text: a budget adds up exactly."""
    journal = open_journal()
    asyncio.run(journal.save_all([(attempt(f"kb-{n}", units=Decimal("0.1")), []) for n in range(10)]))
    journal.close()
    assert sum(row.counted for row in read_snapshot(open_journal().folder.parent).attempts.values()) == Decimal("1.0")


def test_everything_of_the_program_stays_in_one_folder(open_journal: Any, attempt: Any, out: Path) -> None:
    """Beside the sounds there is nothing but that."""
    asyncio.run(open_journal().save(attempt()))
    assert [path.name for path in out.iterdir()] == [FOLDER]
