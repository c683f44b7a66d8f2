"""What is written stays, and the disk is asked once for many."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from kling_batch.errors import DiskUnusable
from kling_batch.model import Remark
from kling_batch.records.attempts import Stage
from kling_batch.records.snapshot import read_snapshot

KILLED = """
import asyncio, os, signal, sys
from decimal import Decimal
from pathlib import Path
from kling_batch.records.journal import Journal
from kling_batch.records.attempts import Attempt, Stage

async def main():
    journal = Journal(Path(sys.argv[1]), now=0.0)
    run = journal.start_run(0.0)
    await journal.save(Attempt(external_id="kb-1", kind="text-to-audio", job_id="door", take=1, attempt=1,
                               stage=Stage.INTENT, units=Decimal("0.25"), run_id=run, sent_at=5.0))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_an_intent_survives_a_kill(out: Any, open_journal: Any) -> None:
    """It is durable when `save` returns; nothing is closed, and the folder is free again."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
    assert killed.returncode == -9
    found = read_snapshot(open_journal().folder.parent).attempts["kb-1"]
    assert (found.stage, found.units, found.sent_at) == (Stage.INTENT, Decimal("0.25"), 5.0)


@pytest.mark.parametrize("threaded", [True, False])
def test_an_attempt_comes_back_as_it_was(
    open_journal: Any, attempt: Any, placed: Any, out: Any, threaded: bool
) -> None:
    """Every field, in either way of writing."""
    full = attempt(
        stage=Stage.DELIVERED, task_id="804296831530094592", code=1301, message="no\nway", final=True, sent_at=1.5,
        created_at=2.25, ended_at=3.125, recipe={"finish": {"loudness": -18}},
        remarks=(Remark(check="silent", then="warn", words="-71.3 dBFS at most"),),
    )  # fmt: skip
    files = [placed("kb-1", "wav"), placed("kb-1", "mp3")]
    finished = replace(placed("kb-1", "wav"), finished=True)
    journal = open_journal(threaded=threaded)
    asyncio.run(journal.save(full, [*files, finished]))
    journal.close()
    again = open_journal(threaded=threaded)
    assert read_snapshot(out).finished == {"kb-1": [finished]}
    assert read_snapshot(again.folder.parent).attempts == {"kb-1": full}
    assert sorted(read_snapshot(out).files["kb-1"], key=lambda file: file.record.format) == [files[1], files[0]]


def test_an_attempt_moves_on_in_its_row(open_journal: Any, attempt: Any) -> None:
    """What is saved last is what is known; who made it does not change."""
    journal = open_journal()
    asyncio.run(journal.save(attempt()))
    asyncio.run(journal.save(attempt(stage=Stage.CREATED, task_id="7", run_id=2)))
    assert read_snapshot(journal.folder.parent).attempts == {
        "kb-1": attempt(stage=Stage.CREATED, task_id="7", run_id=2)
    }


def test_many_writes_share_a_commit(open_journal: Any, attempt: Any, slow_disk: Any) -> None:
    """What waits while the disk works is written with the next commit: 500 take two."""
    journal = open_journal(probe=slow_disk)

    async def save_many() -> None:
        saves = [asyncio.ensure_future(journal.save(attempt(f"kb-{number}"))) for number in range(500)]
        await asyncio.sleep(0)
        slow_disk.let_go.set()
        await asyncio.gather(*saves)

    asyncio.run(save_many())
    assert 1 <= slow_disk.effects.count("journal commit") <= 2
    assert len(read_snapshot(journal.folder.parent).attempts) == 500


def test_a_write_has_not_returned_before_it_is_committed(open_journal: Any, attempt: Any, slow_disk: Any) -> None:
    """The POST waits for it."""
    journal = open_journal(probe=slow_disk)

    async def save_one() -> list[bool]:
        save = asyncio.ensure_future(journal.save(attempt()))
        await asyncio.to_thread(slow_disk.reached.wait)
        before = save.done()
        slow_disk.let_go.set()
        await save
        return [before, save.done()]

    assert asyncio.run(save_one()) == [False, True]


def test_a_write_that_is_cancelled_is_written(open_journal: Any, attempt: Any, slow_disk: Any) -> None:
    """A stop in the middle forgets nothing that was learned."""
    journal = open_journal(probe=slow_disk)

    async def cancel_one() -> None:
        save = asyncio.ensure_future(journal.save(attempt()))
        await asyncio.sleep(0)
        save.cancel()
        slow_disk.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await save

    asyncio.run(cancel_one())
    journal.close()
    assert list(read_snapshot(open_journal().folder.parent).attempts) == ["kb-1"]


def test_many_rows_are_saved_together_or_not_at_all(open_journal: Any, attempt: Any, placed: Any, out: Any) -> None:
    """One transaction: a row that cannot be written takes the others back."""
    journal = open_journal()
    bad = attempt("kb-2", message="\ud800")
    with pytest.raises(UnicodeEncodeError):
        asyncio.run(journal.save_all([(attempt("kb-1"), [placed()]), (bad, [])]))
    asyncio.run(journal.save(attempt("kb-3")))
    journal.close()
    again = open_journal()
    assert (list(read_snapshot(again.folder.parent).attempts), read_snapshot(out).files) == (["kb-3"], {})


@pytest.mark.parametrize("threaded", [True, False])
def test_a_full_disk_is_said_and_a_later_write_succeeds(open_journal: Any, attempt: Any, threaded: bool) -> None:
    """The run stops before it sends; nothing that was written is lost."""
    journal = open_journal(threaded=threaded)
    asyncio.run(journal.save(attempt("kb-1")))
    full, roomy = (f"PRAGMA max_page_count = {pages}" for pages in (1, 1_000_000))
    journal._connection.execute(full)
    with pytest.raises(DiskUnusable, match="full") as caught:
        asyncio.run(journal.save_all([(attempt(f"kb-{n}", message="x" * 500), []) for n in range(2, 100)]))
    assert "If the disk is full or read-only, mend that" in str(caught.value.hint)
    journal._connection.execute(roomy)
    asyncio.run(journal.save(attempt("kb-last")))
    assert set(read_snapshot(journal.folder.parent).attempts) == {"kb-1", "kb-last"}


class Stop(BaseException):
    """The machine stops."""


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize(("effect", "kept"), [("journal commit", False), ("journal committed", True)])
def test_a_stop_at_a_commit_reaches_whoever_waits(
    open_journal: Any, attempt: Any, threaded: bool, effect: str, kept: bool
) -> None:
    """Nobody waits for ever for a writer that broke; before the commit nothing is kept, after it everything."""

    def stop(name: str) -> None:
        if name == effect:
            raise Stop

    journal = open_journal(probe=stop, threaded=threaded)
    with pytest.raises(Stop):
        asyncio.run(asyncio.wait_for(journal.save(attempt()), timeout=10))
    journal.close()
    assert bool(read_snapshot(open_journal().folder.parent).attempts) is kept


def test_closing_writes_what_waits(open_journal: Any, attempt: Any, slow_disk: Any) -> None:
    """The last words of a run."""
    journal = open_journal(probe=slow_disk)

    async def save_and_leave() -> None:
        saves = [asyncio.ensure_future(journal.save(attempt(f"kb-{number}"))) for number in range(5)]
        await asyncio.sleep(0)
        slow_disk.let_go.set()
        journal.close()
        await asyncio.gather(*saves)

    asyncio.run(save_and_leave())
    assert len(read_snapshot(open_journal().folder.parent).attempts) == 5


def test_what_nobody_waits_for_is_written_too(open_journal: Any, attempt: Any, slow_disk: Any) -> None:
    """The event loop may be gone before the disk is done: an interrupted run keeps all that it knew."""
    journal = open_journal(probe=slow_disk)

    async def leave_at_once() -> None:
        saves = [asyncio.ensure_future(journal.save(attempt(f"kb-{number}"))) for number in range(5)]
        await asyncio.to_thread(slow_disk.reached.wait)
        for save in saves:
            save.cancel()

    asyncio.run(leave_at_once())
    slow_disk.let_go.set()
    journal.close()
    assert len(read_snapshot(open_journal().folder.parent).attempts) == 5


def test_the_journal_is_as_durable_as_sqlite_can_make_it(open_journal: Any) -> None:
    """A write-ahead log that is flushed at each commit: 2 is FULL."""
    journal = open_journal()
    asked = [journal._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert asked == ["wal", 2]


SQLITE_ERRORS = [
    error for error in vars(sqlite3).values() if isinstance(error, type) and issubclass(error, sqlite3.Error)
]


@pytest.mark.parametrize("error", SQLITE_ERRORS)
def test_every_error_of_sqlite_becomes_ours(open_journal: Any, attempt: Any, error: type[Exception]) -> None:
    """Whatever it is called, it says that the journal cannot be used, and what to do."""

    def fail(_: str) -> None:
        raise error("bad luck")

    journal = open_journal(probe=fail)
    with pytest.raises(DiskUnusable, match="bad luck") as caught:
        asyncio.run(journal.save(attempt()))
    assert "move it away" in str(caught.value.hint)
