"""Sounds that have come are looked at and finished, and what was made of them gets its final names.

Artifacts that are known by their hashes come from the disk or the store. All else is made of the sounds as they were
delivered, as often as it takes, at no cost.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kling_batch.catalog import kind_of
from kling_batch.catalog.finish import lead_of
from kling_batch.delivery.checks import Fingerprint
from kling_batch.delivery.finish import MadeFile
from kling_batch.delivery.finish.tags import tags_of
from kling_batch.delivery.finishing import Finished, Sound, fingerprint_of, finish
from kling_batch.delivery.place import (
    coming_file,
    find,
    place,
    placed_now,
    reject,
    rejected_path,
    replaced_folder,
    set_aside,
)
from kling_batch.disk import disk_border, hash_file, is_file
from kling_batch.model import FileRecord, Status, Take, TakeKey, rejecting
from kling_batch.planning.sources import places
from kling_batch.records.attempts import PlacedFile
from kling_batch.records.lock import Lock
from kling_batch.records.state import ON_ITS_WAY, Presence
from kling_batch.running.copies import Copies
from kling_batch.running.locking import to_its_end
from kling_batch.running.ports import Ports
from kling_batch.running.work import Work


class Siblings:
    """The other takes of jobs of which no two takes shall be alike.

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
    here = bring(out, places(take, lead), lead.sha256, coming, copies)
    found = fingerprint_of(coming) if here else None
    coming.unlink(missing_ok=True)
    return found


def bring(out: Path, paths: Iterable[str], sha256: str, coming: Path, copies: Copies) -> bool:
    """Copy a file that is known by its hash from where it may stand, else from the store. Blocks.

    Raises:
        DiskUnusable: It cannot be read or written.
    """
    with disk_border(coming):
        here = find(out, paths, sha256)
        if here is None:
            return copies.fetch(sha256, coming)
        shutil.copyfile(here, coming)
        return True


@dataclass(kw_only=True, eq=False)
class Finishing:
    """One take's sounds, once they have come. `warnings` name what stood where a finished file stands now."""

    work: Work
    ports: Ports
    copies: Copies
    out: Path
    is_edited: Callable[[Path, str], bool]
    warnings: list[str] = field(default_factory=list, init=False)

    async def known(self) -> list[PlacedFile] | None:
        """Take the finished files from where they are; None where one is nowhere, or others are asked for."""
        work, job = self.work, self.work.take.job
        if not job.finish or work.row.recipe != job.recipe:
            return None
        found = []
        for name in job.finish["formats"]:
            known = work.facts.finished_files.get(name)
            file = None if known is None else await self.ports.offload(self._take, known)
            if file is None:
                return None
            found.append(file)
        return found

    def _take(self, known: FileRecord) -> PlacedFile | None:
        work, path = self.work, self.work.take.path(known.format)
        record, presence = replace(known, path=path), work.facts.presence.get(known.format, Presence.NEVER)
        if not presence.lacks:
            return self._placed(record, absent=presence is Presence.EDITED)
        coming = self._coming(known.format)
        paths = [] if known.path == path else [known.path]
        if not bring(self.out, paths, known.sha256, coming, self.copies):
            return None
        self._place(coming, path, known.sha256, in_place_of=work.facts.made_before)
        return self._placed(record)

    async def make(
        self,
        recipe: Mapping[str, Any],
        at: Mapping[str, Path],
        others: Mapping[str, Fingerprint],
        *,
        exact: bool,
        finished: Finished | None = None,
    ) -> tuple[Finished, list[PlacedFile] | None]:
        """Look at the sounds of a take, and finish them.

        Args:
            recipe: What to do: see `Job.recipe`.
            at: Where they are, as they were delivered, by format.
            others: What other takes are, that it shall not be alike.
            exact: Whether only the bytes will do that are known.
            finished: What a worker did of all this; see `bring`.

        Returns:
            What came of it, and the finished files, which stand under their names; None if they are others than known.
        """
        work, job = self.work, self.work.take.job
        lead = lead_of(job.formats)
        if lead is None or not recipe:
            return Finished(remarks=()), []
        if finished is None:
            coming = [self._coming(name) for name in (job.finish.get("formats") or [lead])]
            sound = Sound(
                source=at[lead],
                recipe=recipe,
                folder=coming[0].parent,
                name=coming[0].stem,
                tags=self.tags,
                others=others,
            )
            making = self.ports.offload(finish, sound, store=self.copies.store, probe=self.ports.probe)
            finished = await to_its_end(making)
        if finished.trouble is not None:
            self.copies.give_up(f"Nothing more is kept in the store: {finished.trouble}")
        if rejecting(finished.remarks):
            await to_its_end(self.ports.offload(self._reject, at, finished))
            return finished, []
        known = {(file.format, file.sha256) for file in work.facts.finished_files.values()}
        if exact and any((file.format, file.sha256) not in known for file in finished.files):
            return finished, None
        return finished, await to_its_end(self.ports.offload(self._place_all, finished))

    @property
    def tags(self) -> dict[str, str]:
        """The text that is written into the files."""
        work = self.work
        tags = tags_of(work.take, kind_of(work.take.job).words_of(work.take.job), work.row.task_id)
        return {name: text for name, text in tags.items() if text}

    async def bring(self, finished: Finished) -> Finished | None:
        """Bring what a worker made out of the store; None where it is not to be had."""
        files = [replace(file, path=self._coming(file.format)) for file in finished.files]
        for file in files:
            if not await self.ports.offload(self.copies.fetch, file.sha256, file.path):
                return None
        return replace(finished, files=tuple(files))

    def _coming(self, audio_format: str) -> Path:
        """Name a finished file on its way to its place."""
        return coming_file(self.out, f"{self.work.external_id}.finished.{audio_format}")

    def _place_all(self, finished: Finished) -> list[PlacedFile]:
        files = [self._placed_made(file) for file in finished.files]
        if files:
            self._clear(self._before(), but={file.record.path for file in files})
        for file in self.work.facts.known_files.values():
            kept = rejected_path(self.work.take.path(file.format), file.sha256)
            for path in (kept, f"{kept}.txt"):
                if is_file(self.out, path):
                    (self.out / path).unlink()
        return files

    def _placed_made(self, file: MadeFile) -> PlacedFile:
        path, presence = self.work.take.path(file.format), self.work.facts.presence.get(file.format)
        record = FileRecord(
            path=path,
            format=file.format,
            sha256=file.sha256,
            bytes=file.bytes,
            duration_s=round(file.duration_s, 3),
        )
        if presence is not Presence.EDITED:
            self._place(file.path, path, file.sha256, in_place_of=self._before())
        return replace(self._placed(record, absent=presence is Presence.EDITED), shape=file.shape)

    def _placed(self, record: FileRecord, *, absent: bool = False) -> PlacedFile:
        return replace(placed_now(self.out, record, self.work.external_id, absent=absent), finished=True)

    def _place(self, coming: Path, path: str, sha256: str, *, in_place_of: Iterable[FileRecord]) -> None:
        """Give a file its final name, in place of what is kept elsewhere or can be made again."""
        kept = {file.sha256 for file in in_place_of}
        replaced = place(coming, self.out / path, out=self.out, sha256=sha256, kept=kept, probe=self.ports.probe)
        where = "" if replaced is None else replaced.relative_to(self.out).as_posix()
        if where and self.is_edited(self.out, where):
            self.warnings.append(f"{path}: replaced; what stood there is kept as {where}")

    def _before(self) -> list[FileRecord]:
        """Name the files of this very sound that stood in the folder: those as delivered are kept elsewhere by now."""
        return [*self.work.facts.known_files.values(), *self.work.facts.made_before]

    def clear_made(self, finished: Iterable[PlacedFile]) -> None:
        """Take away what was made of this very sound before, also where it stands as the chosen take. Blocks.

        Soon nobody knows any more that it was made here.

        Args:
            finished: What is made of it now.
        """
        job, now = self.work.take.job, {file.record.sha256 for file in finished}
        gone = [file for file in self.work.facts.made_before if file.sha256 not in now]
        picked = [replace(file, path=job.picked_path(file.format)) for file in gone if job.picked_stem]
        self._clear([*gone, *picked], but={self.work.take.path(name) for name in job.outputs})

    def set_earlier_aside(self, sources: Iterable[PlacedFile]) -> None:
        """Set an earlier sound aside that stands beside, where this one is in the store alone. Blocks."""
        for record in (file.record for file in sources if file.mtime_ns == 0):
            path = self.out / record.path
            with disk_border(path):
                found = hash_file(path) if is_file(self.out, record.path) else record.sha256
            if found != record.sha256 and not self.is_edited(self.out, record.path):
                set_aside(path, found, replaced_folder(self.out), self.ports.probe)

    def _clear(self, files: Iterable[FileRecord], *, but: set[str]) -> None:
        """Take away what stands there of this very sound, and is asked for no more."""
        take = self.work.take
        asides = {take.source_path(name) for name in take.job.formats} | but
        for file in files:
            path = self.out / file.path
            with disk_border(path):
                if file.path not in asides and is_file(self.out, file.path) and hash_file(path) == file.sha256:
                    self.ports.probe("remove stale")
                    path.unlink()

    def _reject(self, at: Mapping[str, Path], finished: Finished) -> None:
        """Keep a sound apart, with the reason, and leave nothing of it under its name."""
        take = self.work.take
        for name, path in at.items():
            with disk_border(path):
                sha256 = hash_file(path)
            reject(
                path,
                take.path(name),
                out=self.out,
                sha256=sha256,
                reason="\n".join(remark.words for remark in finished.remarks),
                task_id=self.work.row.task_id,
                probe=self.ports.probe,
            )
        self._clear(self._before(), but=set())
