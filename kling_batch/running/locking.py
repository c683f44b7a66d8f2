"""Keeping the lock while takes finish: written often enough to lose little, seldom enough to cost little."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

from kling_batch.clock import Clock
from kling_batch.effects import Probe
from kling_batch.model import TakeKey
from kling_batch.records.lock import Lock, LockEntry, write_lock
from kling_batch.running.ports import Offload
from kling_batch.running.work import Work

_LEAST_GAP_S = 2.0
_COST_SHARE = 20
"""A write that took a second is followed by the next after twenty: the whole file is written each time."""


class LockKeeper:
    """Holds the lock's entries and writes them from time to time, always whole. `frozen`: it never writes."""

    def __init__(
        self, path: Path, lock: Lock, *, clock: Clock, offload: Offload, probe: Probe, frozen: bool = False
    ) -> None:
        self.path = path
        self.entries: dict[TakeKey, LockEntry] = dict(lock.entries)
        self._sha256 = lock.sha256
        self._project = lock.project
        self._clock = clock
        self._offload = offload
        self._probe = probe
        self._frozen = frozen
        self._changed = False
        self._due = 0.0
        self._writing = asyncio.Lock()

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the file that says what is kept here; None where no file does."""
        return None if self._changed else self._sha256

    def put(self, work: Work) -> None:
        """Keep a finished take, with what people said of it: that it is picked, and how often it was rolled again.

        A take that took over the sound of a renamed job takes the place of its entry.
        """
        entry = entry_of(work)
        before = self.entries.get(entry.key)
        if work.moved is not None:
            before = work.moved
            self.drop({before.key})
        if before is not None:
            entry = replace(entry, picked=before.picked, rerolls=before.rerolls, moved_from=_made_for(before, entry))
        if self.entries.get(entry.key) != entry:
            self.entries[entry.key] = entry
            self._changed = True

    def drop(self, keys: set[TakeKey]) -> None:
        """Forget takes that are no longer asked for."""
        for key in keys & self.entries.keys():
            del self.entries[key]
            self._changed = True

    async def write_if_due(self) -> None:
        """Write what changed, unless that was done a moment ago."""
        if self._changed and not self._writing.locked() and self._clock.monotonic() >= self._due:
            await self.write()

    async def write(self) -> None:
        """Write what changed, now.

        Raises:
            DiskUnusable: The lock cannot be written.
        """
        async with self._writing:
            if self._frozen or not self._changed:
                return
            self._changed = False
            began = self._clock.monotonic()
            lock = Lock(project=self._project, entries=dict(self.entries))
            try:
                self._sha256 = await _to_its_end(self._offload(write_lock, self.path, lock, probe=self._probe))
            except BaseException:
                self._changed = True
                raise
            now = self._clock.monotonic()
            self._due = now + max(_LEAST_GAP_S, _COST_SHARE * (now - began))


async def _to_its_end(writing: Awaitable[str]) -> str:
    """Wait for a write also when cancelled: a thread cannot be stopped, and two must not write one file.

    A cancellation stays one, also where the write fails: whoever writes next meets the same failure.
    """
    task = asyncio.ensure_future(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.exception()
        raise


def _made_for(before: LockEntry, entry: LockEntry) -> str | None:
    """Name the job that a sound was made for, where that is not the job it belongs to now."""
    if before.external_id != entry.external_id:
        return None
    made_for = before.moved_from or before.job_id
    return None if made_for == entry.job_id else made_for


def entry_of(work: Work) -> LockEntry:
    """Make a finished take's entry."""
    take, row = work.take, work.row
    return LockEntry(
        job_id=take.job.id,
        take=take.number,
        edition=take.edition,
        attempt=row.attempt,
        kind=take.job.kind,
        request=take.job.request,
        external_id=row.external_id,
        task_id=row.task_id or "",
        units=work.units,
        files=work.files,
    )
