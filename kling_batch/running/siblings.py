"""The other takes of jobs of which no two takes shall be alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kling_batch.catalog.finish import lead_of
from kling_batch.delivery.checks import Fingerprint
from kling_batch.delivery.finishing import fingerprint_of
from kling_batch.delivery.place import coming_file
from kling_batch.model import FileRecord, Status, Take, TakeKey, rejecting
from kling_batch.planning.sources import places
from kling_batch.records.lock import Lock
from kling_batch.records.state import ON_ITS_WAY
from kling_batch.running.copies import Copies
from kling_batch.running.ports import Ports
from kling_batch.running.work import Work


class Siblings:
    """What every take is, for those that it shall not be alike.

    A take is held against those that are there, and waits for those before it that are on their way, so that of two
    that are alike it is the later one that is told of.

    Args:
        works: The takes of the run.
        lock: The lock knows of others.
    """

    def __init__(self, works: Iterable[Work], lock: Lock) -> None:
        self._works = {work.take.key: work for work in works if "alike" in work.take.job.check}
        self._lock = lock
        self._known: dict[str, Fingerprint | None] = {}

    def missing(self, take: Take) -> bool:
        """Whether a take before this one is on its way."""
        before = (self._works.get(key) for key in _others(take) if key.number < take.number)
        there = (work for work in before if work is not None and work.status is None)
        return any(work.row.stage in ON_ITS_WAY for work in there)

    def note(self, work: Work, fingerprint: Fingerprint | None) -> None:
        """Keep what a take of this run is."""
        if fingerprint is not None:
            self._known[work.external_id] = fingerprint

    async def fingerprints(self, take: Take, ports: Ports, copies: Copies, out: Path) -> dict[str, Fingerprint]:
        """Give what the other takes are, as far as they are on the disk or in the store."""
        found: dict[str, Fingerprint] = {}
        for key in _others(take):
            external_id, files = self._sound(key)
            if not files:
                continue
            if external_id not in self._known:
                coming = coming_file(out, f"{take.key.number}.{external_id}.alike")
                self._known[external_id] = await ports.offload(_fingerprint, take, files, out, coming, copies)
            if (known := self._known[external_id]) is not None:
                found[str(key)] = known
        return found

    def _sound(self, key: TakeKey) -> tuple[str, tuple[FileRecord, ...]]:
        """Name the sound of a take, and its files as they were delivered: none where it has none that is good."""
        work, entry = self._works.get(key), self._lock.entries.get(key)
        if work is not None:
            return work.external_id, work.sources if work.status is Status.SUCCEEDED else ()
        return (entry.external_id, entry.files if not rejecting(entry.remarks) else ()) if entry else ("", ())


def _others(take: Take) -> list[TakeKey]:
    numbers = range(1, take.job.takes + 1) if "alike" in take.job.check else ()
    return [TakeKey(take.job.id, number) for number in numbers if number != take.number]


def _fingerprint(
    take: Take, files: Iterable[FileRecord], out: Path, coming: Path, copies: Copies
) -> Fingerprint | None:
    known = {file.format: file for file in files}
    lead = known.get(lead_of(known) or "")
    if lead is None:
        return None
    here = copies.bring(out, places(take, lead), lead.sha256, coming)
    found = fingerprint_of(coming) if here else None
    coming.unlink(missing_ok=True)
    return found
