"""One take's files under the output folder, as they were delivered: taken in, placed, set right. All of it blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kling_batch.catalog import kind_of
from kling_batch.catalog.finish import lead_of
from kling_batch.delivery.arrival import Target, judged
from kling_batch.delivery.orders import Done
from kling_batch.delivery.place import (
    coming_file,
    find,
    forget_rejected,
    place,
    placed_now,
    reject,
    rejected_path,
    replaced_folder,
    set_aside,
)
from kling_batch.delivery.verify import Rejected, Verified
from kling_batch.disk import disk_border, hash_file, is_file
from kling_batch.effects import Probe
from kling_batch.model import FileRecord, rejecting
from kling_batch.planning.sources import places
from kling_batch.records.attempts import PlacedFile
from kling_batch.records.state import Presence
from kling_batch.running.copies import Copies
from kling_batch.running.options import Options
from kling_batch.running.work import Work

_SUPPORT = "Run again within 30 days of its generation, or ask the service's support with the task id."


@dataclass(eq=False)
class Undelivered(Exception):
    """A paid file that could not be had, and why.

    `soon`: it may be in a moment; `passing`: it may be by a later run, and `repair` is what else does.
    """

    reason: str
    soon: bool = field(default=False, kw_only=True)
    passing: bool = field(default=False, kw_only=True)
    repair: str = field(default=_SUPPORT, kw_only=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """A file as it was delivered, which can be trusted, and where its bytes are.

    They stand under its final name, or are on their way and in the store, or in the store alone.
    """

    file: PlacedFile
    at: Path


@dataclass(eq=False)
class Files:
    """The files of a take.

    `is_edited` says whether what stood at a path was edited by a person. `warnings` are what a person may want to know
    of the files.
    """

    work: Work
    options: Options
    copies: Copies
    probe: Probe
    is_edited: Callable[[str], bool]
    warnings: list[str] = field(default_factory=list, init=False)
    _doubted: dict[str, set[str]] = field(default_factory=dict, init=False)

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.options.out

    def target(self, name: str) -> Target:
        """Say where the file of a format goes, and what it has to be."""
        take, known = self.work.take, self.work.facts.known_files.get(name)
        kind, job = kind_of(take.job), take.job
        return Target(
            path=take.source_path(name),
            final=not job.recipe or name in job.as_delivered or self.options.keep_sources,
            audio_format=name,
            requested_s=kind.length_of(job),
            sha256=known.sha256 if known else None,
            also=kind.outputs[name].also,
            with_shape=name == job.formats[0],
        )

    def coming(self, name: str) -> Path:
        """Name the file of a format on its way to its place."""
        return coming_file(self.out, f"{self.work.external_id}.{name}")

    def is_needed(self, name: str, *, is_finished: bool) -> bool:
        """Whether a file of the sound is needed as it was delivered: to stand somewhere, or to be finished."""
        take, facts = self.work.take, self.work.facts
        if not take.job.finish or name in take.job.as_delivered or not facts.known_files:
            return True
        known, beside = facts.known_files.get(name), facts.sources.get(name)
        is_lead = name == lead_of(take.job.formats) and not is_finished
        stands = known is not None and known.path != take.source_path(name) and is_file(self.out, known.path)
        return is_lead or stands or (beside is not None and beside.lacks)

    def in_store(self, name: str) -> bool:
        """See that a file whose hash is known is in the store."""
        known, copies = self.work.facts.known_files.get(name), self.copies
        if known is None:
            return False
        if copies.has(known.sha256):
            return True
        here = find(self.out, places(self.work.take, known), known.sha256)
        return here is not None and copies.put(here, known.sha256)

    def at_hand(self, name: str, done: Done) -> Arrived | None:
        """Take a file that a worker verified, or whose hash is known, from where it is; None where it is nowhere near.

        Args:
            name: Its format.
            done: What a worker did, the files of which are in the store.
        """
        work, target = self.work, self.target(name)
        known, fetched, presence = work.facts.known_files.get(name), done.fetched.get(name), self._presence(target)
        edited = presence is Presence.EDITED
        if known is not None and not presence.lacks and (work.is_judged or not edited):
            record = replace(known, path=target.path)
            return Arrived(
                file=placed_now(self.out, record, work.external_id, absent=edited), at=self.out / target.path
            )
        coming, finished = self.coming(name), done.finished
        if fetched is not None and work.take.job.finish and not target.final and finished and finished.files:
            record = self._noted(target, fetched.sha256, fetched.bytes, fetched.sound)
            file = PlacedFile(external_id=work.external_id, record=record, mtime_ns=0, shape=fetched.sound.shape)
            return Arrived(file=file, at=coming)
        try:
            if fetched is not None and self.copies.fetch(fetched.sha256, coming):
                return self.take_in(coming, fetched.sha256, target, fetched.sound)
            if known and self.copies.bring(self.out, places(work.take, known), known.sha256, coming):
                return self.take_in(coming, known.sha256, target)
        except Undelivered:
            pass
        return None

    def take_in(self, coming: Path, sha256: str, target: Target, verified: Verified | None = None) -> Arrived:
        """Verify a whole file, copy it into the store, and give it its final name if it has one; or keep it apart.

        Args:
            coming: The file.
            sha256: Its hash.
            target: Where it goes, and what it has to be.
            verified: What a worker found that verified these bytes already.

        Raises:
            Undelivered: It cannot be trusted.
            DiskUnusable: Something cannot be read or written; `coming` is still there.
        """
        kept = rejected_path(target.path, sha256)
        with disk_border(self.out / kept):
            twice = is_file(self.out, kept) and hash_file(self.out / kept) == sha256
        sound = verified or judged(coming, sha256, target, twice=twice)
        doubted = self._doubted.setdefault(target.path, set())
        if isinstance(sound, Rejected):
            self.reject(coming, target.path, sha256, sound.reason)
            if target.sha256 in {None, sha256}:
                doubted.add(kept)
            raise _doubt(sound.reason, kept, twice=twice)
        record = self._noted(target, sha256, coming.stat().st_size, sound)
        stays = not self.copies.put(coming, sha256) or target.final
        if stays:
            self.place(coming, target.path, sha256, self._presence(target))
        for path in {*doubted, kept}:
            forget_rejected(self.out, path)
        doubted.clear()
        file = placed_now(self.out, record, self.work.external_id, absent=not stays)
        return Arrived(file=replace(file, shape=sound.shape), at=self.out / target.path if stays else coming)

    def _noted(self, target: Target, sha256: str, size: int, sound: Verified) -> FileRecord:
        """Note a file that is taken, and what is to be said of it."""
        self.warnings += (f"{target.path}: {warning}" for warning in sound.warnings)
        return FileRecord(
            path=target.path,
            format=target.audio_format,
            sha256=sha256,
            bytes=size,
            duration_s=round(sound.duration_s, 3),
        )

    def _presence(self, target: Target) -> Presence:
        """Say how a file stood where it goes."""
        facts, name = self.work.facts, target.audio_format
        standing = facts.presence if target.path == facts.take.path(name) else facts.sources
        return standing.get(name, Presence.NEVER)

    def place(
        self, coming: Path, path: str, sha256: str, presence: Presence | None, *, kept: Collection[str] = ()
    ) -> None:
        """Give a file its final name, and name what stood there, if a person may want to know.

        Args:
            coming: The file.
            path: Its final name, under the output folder.
            sha256: Its hash.
            presence: How what stood there compared with what was known of it.
            kept: Hashes of what need not be moved away there.
        """
        replaced = place(coming, self.out / path, out=self.out, sha256=sha256, kept=kept, probe=self.probe)
        where = "" if replaced is None else replaced.relative_to(self.out).as_posix()
        if where and presence is Presence.MODIFIED:
            self.warnings.append(f"{path}: the original is back, and what stood there is kept as {where}")
        elif where and self.is_edited(where):
            self.warnings.append(f"{path}: replaced; what stood there is kept as {where}")

    def reject(self, path: Path, name: str, sha256: str, reason: str) -> None:
        """Keep bytes apart that are no good for the file of a name, with the reason."""
        task_id = self.work.row.task_id
        reject(path, name, out=self.out, sha256=sha256, reason=reason, task_id=task_id, probe=self.probe)

    def settle(self, sources: Mapping[str, Arrived]) -> list[PlacedFile]:
        """Give files their final names that were only looked at, and the store the rest; gives all, as they stand now.

        An earlier sound is set aside that stands where one would stand that is in the store alone.
        """
        work, take = self.work, self.work.take
        placed = {name: each.file for name, each in sources.items()}
        for name, each in sources.items() if not rejecting(work.row.remarks) else ():
            if each.at != self.coming(name):
                continue
            if take.source_path(name) != take.path(name) or work.facts.presence.get(name) is Presence.EDITED:
                each.at.unlink(missing_ok=True)
                continue
            record = each.file.record
            self.place(each.at, record.path, record.sha256, work.facts.presence.get(name))
            placed[name] = replace(placed_now(self.out, record, work.external_id), shape=each.file.shape)
        for name, known in work.facts.known_files.items():
            record = replace(known, path=take.source_path(name))
            placed.setdefault(name, PlacedFile(external_id=work.external_id, record=record, mtime_ns=0))
        files = [placed[name] for name in take.job.formats if name in placed]
        if take.job.finish:
            self._set_earlier_aside(file.record for file in files if file.mtime_ns == 0)
        return files

    def _set_earlier_aside(self, records: Iterable[FileRecord]) -> None:
        for record in records:
            path = self.out / record.path
            if record.format in self.work.take.job.as_delivered or not is_file(self.out, record.path):
                continue
            with disk_border(path):
                found = hash_file(path)
            if found != record.sha256 and not self.is_edited(record.path):
                set_aside(path, found, replaced_folder(self.out), self.probe)

    def clear(self, files: Iterable[FileRecord], *, but: Collection[str]) -> None:
        """Take away what stands there of this very sound, and is asked for no more."""
        asides = {*but, *map(self.work.take.source_path, self.work.take.job.formats)}
        for file in files:
            path = self.out / file.path
            with disk_border(path):
                if file.path not in asides and is_file(self.out, file.path) and hash_file(path) == file.sha256:
                    self.probe("remove stale")
                    path.unlink()


def _doubt(reason: str, kept: str, *, twice: bool) -> Undelivered:
    """Decide whether a file that is not taken is fetched again."""
    if not twice:
        return Undelivered(f"{reason}; what came is kept as {kept}", soon=True, passing=True)
    return Undelivered(
        f"{reason}, and the same bytes came twice; they are kept as {kept}",
        repair="Listen to that file. If it is no good, ask the service's support with the task id, "
        "or raise the job's edition to pay for a new one.",
    )
