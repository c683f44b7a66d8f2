"""Keeping the lock while takes finish."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.clock import SystemClock
from kling_batch.effects import no_probe
from kling_batch.errors import DiskUnusable
from kling_batch.model import FileRecord
from kling_batch.records.lock import Lock, LockEntry, read_lock, write_lock
from kling_batch.running.locking import LockKeeper
from kling_batch.running.work import first_row


def _keeper(path: Path, work: Any, lock: Lock | None = None, *, frozen: bool = False) -> LockKeeper:
    """Make the keeper of a run that was planned by a lock, and that finished a work, if any."""
    keeper = LockKeeper(
        path=path,
        lock=lock or Lock(project="p"),
        clock=SystemClock(),
        offload=asyncio.to_thread,
        probe=no_probe,
        frozen=frozen,
    )
    if work is not None:
        work.row = replace(first_row(work.take, 1), task_id="9")
        keeper.put(work)
    return keeper


@pytest.fixture
def other() -> LockEntry:
    """An entry that the run knows nothing of."""
    sound = FileRecord(path="x.wav", format="wav", sha256="ab" * 32, bytes=5, duration_s=3.0)
    return LockEntry(
        job_id="rain",
        take=1,
        edition=1,
        attempt=1,
        kind="text-to-audio",
        external_id="kb-rain",
        task_id="8",
        units=Decimal(1),
        request={},
        files=(sound,),
    )


def test_a_cancelled_writer_stays_cancelled_where_its_write_fails(tmp_path: Path, work: Any) -> None:
    """A writer that is told to end ends, whatever the disk says; else a run would never come to its end."""

    async def go() -> None:
        keeper = _keeper(tmp_path / "missing" / "p.lock", work)
        writer = asyncio.create_task(keeper.write())
        await asyncio.sleep(0)
        writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writer

    asyncio.run(go())


def test_what_could_not_be_written_is_written_next_time(tmp_path: Path, work: Any) -> None:
    """A failed write is not taken for done."""

    async def go() -> None:
        keeper = _keeper(tmp_path / "later" / "p.lock", work)
        with pytest.raises(DiskUnusable):
            await keeper.write()
        (tmp_path / "later").mkdir()
        await keeper.write()

    work.row = first_row(work.take, 1)
    asyncio.run(go())
    assert (tmp_path / "later" / "p.lock").read_text().count('"job_id"') == 1


def test_nothing_is_written_where_nothing_changed(tmp_path: Path, work: Any) -> None:
    """A lock that says all there is to say is left alone."""
    path = tmp_path / "p.lock"

    async def go() -> None:
        await _keeper(path, work).write()
        keeper = _keeper(path, work, read_lock(path, project="p"))
        path.unlink()
        await keeper.write()

    asyncio.run(go())
    assert not path.exists()


def test_what_others_wrote_during_the_run_stays(tmp_path: Path, work: Any, other: LockEntry) -> None:
    """The lock is read again at every write, and what others put there is in it afterwards."""
    path = tmp_path / "p.lock"

    async def go() -> None:
        keeper = _keeper(path, work)
        await keeper.write()
        write_lock(path, Lock(project="p", entries={other.key: other}))
        await keeper.write()

    asyncio.run(go())
    assert read_lock(path, project="p").entries.keys() == {other.key, work.take.key}
