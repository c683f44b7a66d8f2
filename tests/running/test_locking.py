"""Keeping the lock while takes finish."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kling_batch.clock import SystemClock
from kling_batch.effects import no_probe
from kling_batch.errors import DiskUnusable
from kling_batch.records.lock import Lock, read_lock
from kling_batch.running.locking import LockKeeper
from kling_batch.running.work import first_row


def _keeper(path: Path, work: Any) -> LockKeeper:
    keeper = LockKeeper(
        path, Lock(project="p"), clock=SystemClock(), offload=asyncio.to_thread, probe=no_probe, frozen=False
    )
    work.row = first_row(work.take, 1)
    keeper.put(work)
    return keeper


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


def test_nothing_is_written_while_nothing_changed(tmp_path: Path, work: Any) -> None:
    """A lock that says all there is to say is left alone."""

    async def go() -> int:
        keeper = _keeper(tmp_path / "p.lock", work)
        await keeper.write()
        (tmp_path / "p.lock").unlink()
        await keeper.write()
        return len(read_lock(tmp_path / "p.lock", project="p").entries)

    assert asyncio.run(go()) == 0
