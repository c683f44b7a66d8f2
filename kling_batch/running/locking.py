"""Bringing what a run finishes into the lock: often enough to lose little, seldom enough to cost little."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from kling_batch.clock import Clock
from kling_batch.effects import Probe
from kling_batch.errors import DiskUnusable, LockInvalid
from kling_batch.model import TakeKey
from kling_batch.records.lock import Lock, LockEntry, update_lock
from kling_batch.records.merging import Changes, merge
from kling_batch.records.state import entry_of
from kling_batch.records.store import Store
from kling_batch.running.ports import Offload
from kling_batch.running.work import Work

T = TypeVar("T")

_LEAST_GAP_S = 2.0
_LEAST_SHARE_GAP_S = 60.0
_COST_SHARE = 20
"""A write that took a second is followed by the next after twenty: the whole file is read and written each time."""


@dataclass(kw_only=True, eq=False)
class LockKeeper:
    """Gathers what a run changes, and merges it into the file from time to time. `frozen`: it never writes.

    `share` brings the file to the team; it blocks, and happens less often.

    `lock` is the lock as it was planned by, then as it was last written.
    """

    path: Path
    lock: Lock
    clock: Clock
    offload: Offload
    probe: Probe
    frozen: bool = False
    share: Callable[[], None] | None = None
    _finished: dict[TakeKey, LockEntry] = field(default_factory=dict, init=False)
    _rejected: dict[str, LockEntry] = field(default_factory=dict, init=False)
    _dropped: AbstractSet[TakeKey] = field(default=frozenset(), init=False)
    _lost: frozenset[str] = field(default=frozenset(), init=False)
    _changed: bool = field(default=False, init=False)
    _due: float = field(default=0.0, init=False)
    _share_due: float = field(default=0.0, init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        self._base = self.lock
        self._base_ids = {entry.external_id for entry in self.lock.everything()}

    def put(self, work: Work) -> None:
        """Keep a finished take, unless the lock said the same of it when the run was planned.

        A sound of this run that it takes the place of was rejected, and is kept as retired.
        """
        entry = _entry_of(work, self._base)
        before = self._finished.get(entry.key)
        if before is not None and before.external_id != entry.external_id:
            self._rejected[before.external_id] = replace(before, picked=False)
        if entry not in (self._base.entries.get(entry.key), self._finished.get(entry.key)):
            self._finished[entry.key] = entry
            self._changed = True

    def keep_rejected(self, entries: Iterable[LockEntry], *, but: str) -> None:
        """Keep rejected sounds, but for one, of earlier runs that may have ended before the lock was told of them."""
        unknown = [entry for entry in entries if entry.external_id != but and entry.external_id not in self._base_ids]
        self._rejected |= {entry.external_id: entry for entry in unknown}
        self._changed |= bool(unknown)

    def drop(self, keys: Iterable[TakeKey]) -> None:
        """Retire takes that are no longer asked for."""
        self._dropped = self._base.entries.keys() & frozenset(keys)
        self._changed |= bool(self._dropped)

    async def forget_lost(self, store: Store, delivered: Container[str]) -> None:
        """Forget what is retired and whose bytes the store has no more.

        Args:
            store: Where they should be.
            delivered: The external ids of what this machine had. What it never had is another store's to tell of.
        """
        had = [entry for entry in self.lock.retired.values() if entry.external_id in delivered]
        self._lost = await self.offload(_lost, had, store)
        self._changed |= bool(self._lost)

    async def write_if_due(self) -> None:
        """Write what changed, unless that was done a moment ago.

        A lock that cannot be relied on is left for later: somebody may be merging it, and the journal has all of it.
        So is the team's where its storage cannot be used for a while.
        """
        if self._changed and not self._writing.locked() and self.clock.monotonic() >= self._due:
            try:
                await self._write()
                if self.clock.monotonic() >= self._share_due:
                    with suppress(DiskUnusable):
                        await self.share_now()
            except LockInvalid:
                self._due = self.clock.monotonic() + _LEAST_GAP_S

    async def share_now(self) -> None:
        """Bring the file to the team, if there is one.

        Raises:
            DiskUnusable: The storage, or the disk, cannot be used.
            LockInvalid: The lock there cannot be relied on.
        """
        if self.share is None:
            return
        async with self._writing:
            began = self.clock.monotonic()
            try:
                await to_its_end(self.offload(self.share))
            finally:
                now = self.clock.monotonic()
                self._share_due = now + max(_LEAST_SHARE_GAP_S, _COST_SHARE * (now - began))

    async def write(self) -> None:
        """Write what this run changed, now, also what others undid since it was written.

        Raises:
            DiskUnusable: The lock cannot be written, or what is there cannot be relied on any more.
        """
        try:
            await self._write()
        except LockInvalid as error:
            words = f"What this run made is not in the lock yet, but in its journal: {error.message}"
            raise DiskUnusable(words, hint=f"{error.hint} Then run the same command again.") from error

    async def _write(self) -> None:
        async with self._writing:
            changes = Changes(
                base=self._base,
                finished=dict(self._finished),
                dropped=self._dropped,
                lost=self._lost,
                rejected=dict(self._rejected),
            )
            if changes == Changes(base=self._base):
                return
            if self.frozen:
                self.lock = merge(self._base, changes)
                return
            self._changed = False
            began = self.clock.monotonic()
            change = partial(merge, changes=changes)
            try:
                self.lock = await to_its_end(
                    self.offload(update_lock, self.path, self._base.project, change, probe=self.probe)
                )
            except BaseException:
                self._changed = True
                raise
            now = self.clock.monotonic()
            self._due = now + max(_LEAST_GAP_S, _COST_SHARE * (now - began))


def _lost(entries: Iterable[LockEntry], store: Store) -> frozenset[str]:
    """Name those of which a file is not in the store; none where the store cannot be used."""
    try:
        return frozenset(
            entry.external_id for entry in entries if not all(store.has(file.sha256) for file in entry.files)
        )
    except DiskUnusable:
        return frozenset()


async def to_its_end(writing: Awaitable[T]) -> T:
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


def _entry_of(work: Work, base: Lock) -> LockEntry:
    """Make a finished take's entry, with what was said of it: of the take, and of the sound if it was locked before."""
    take, row = work.take, work.row
    known = [work.facts.moved, base.entries.get(take.key), base.retired.get(row.external_id)]
    there = [entry for entry in known if entry is not None]
    said = there[0] if there else None
    same = next((entry for entry in there if entry.external_id == row.external_id), None)
    made_for = (same.moved_from or same.job_id) if same is not None else take.job.id
    finished = work.all_files[len(work.sources) :]
    return replace(
        entry_of(take, row, units=work.units, files=work.sources, finished=finished),
        picked=said is not None and said.picked,
        note="" if same is None else same.note,
        moved_from=made_for if made_for != take.job.id else None,
    )
