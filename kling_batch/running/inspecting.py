"""The store's copies of what a lock names, fetched and decoded: here or by workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from kling_batch.catalog import kind_of
from kling_batch.delivery.orders import Inspection, inspect
from kling_batch.model import FileRecord, Take
from kling_batch.planning.audit import Finding, Flaw
from kling_batch.records.lock import Lock
from kling_batch.records.state import is_of
from kling_batch.records.store_at import Place
from kling_batch.running.crew import Crew

_AT_ONCE = 8
_PORTION = 8
"""Files that are looked at in one go."""


async def stored_flaws(takes: Sequence[Take], lock: Lock, place: Place, crew: Crew | None) -> list[Flaw]:
    """Find what a store lacks of the sounds of takes, as delivered and finished, or has damaged.

    Raises:
        DiskUnusable: The store cannot be used.
    """
    found = {record.sha256: (take, record) for take in takes for record in _files(take, lock)}
    files = list(found.values())
    room = asyncio.Semaphore(_AT_ONCE if crew is None else crew.at_once)

    async def look(portion: Sequence[tuple[Take, FileRecord]]) -> list[Flaw]:
        inspection = Inspection(place=place, files=tuple((record, _also(take, record)) for take, record in portion))
        async with room:
            answer = await crew.give(inspect, inspection) if crew is not None else None
            said = answer[0] if answer is not None else await asyncio.to_thread(inspect, inspection)
        return [
            Flaw(Finding.UNSTORED, record.path, str(take.key), f"the store's copy: {words}")
            for (take, record), words in zip(portion, said, strict=True)
            if words is not None
        ]

    portions = [files[start : start + _PORTION] for start in range(0, len(files), _PORTION)]
    return [flaw for flaws in await asyncio.gather(*map(look, portions)) for flaw in flaws]


def _files(take: Take, lock: Lock) -> Iterator[FileRecord]:
    entry = lock.entries.get(take.key)
    if entry is not None and is_of(entry, take):
        yield from entry.all_files


def _also(take: Take, record: FileRecord) -> tuple[str, ...]:
    """Name other formats in which the service may have made a file."""
    output = kind_of(take.job).outputs.get(record.format)
    return output.also if output is not None else ()
