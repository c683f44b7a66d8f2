"""What is present: what the journal and the lock know of each take, and whether the files on disk are those."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum, auto
from pathlib import Path
from stat import S_ISREG
from typing import Any

from kling_batch.disk import hash_file, look
from kling_batch.identity import external_task_id
from kling_batch.model import NOTHING, FileRecord, Job, Remark, Take, TakeKey, is_unfinished, rejecting
from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.snapshot import Snapshot

_Past = Mapping[TakeKey, Sequence[LockEntry]]
"""Retired entries by take."""
ON_ITS_WAY = {Stage.INTENT, Stage.CREATED, Stage.SUCCEEDED, Stage.DELIVERED}
"""Stages of an attempt that is paid for, or may be, and whose sound may be had."""


class Presence(Enum):
    """How a file on disk compares with what is known of it."""

    PRESENT = auto()
    MISSING = auto()
    MODIFIED = auto()
    """Other bytes stand there."""
    EDITED = auto()
    """A person made another sound of it, which is kept."""
    EARLIER = auto()
    """Another sound of this project stands there."""
    NEVER = auto()
    """It was never made: the format is newly asked for."""

    @property
    def lacks(self) -> bool:
        """Whether a file has to be brought."""
        return self not in {Presence.PRESENT, Presence.EDITED}


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeState:
    """What is known of a take before a run.

    `attempt` is the journal's latest attempt of exactly this take; `entry` the lock's entry under its name, which may
    be of an earlier request; `finished` an entry of exactly this take, also a retired one; `moved` the entry of a job
    that is gone and asked for the same, whose sound can be taken over. `external_id` is the name of the latest attempt.
    `known_files` are the finished take's files as they were delivered, by format; `recipe` is what was done to them,
    `finished_files` what was made of them, where the recipe is still asked for, `made_before` all that ever was, and
    `remarks` what the checks found.
    `presence` is how the wanted formats stand, and `sources` how those of `known_files` do that are to stand beside
    them. `earlier_units` were charged for attempts before the latest, which failed; `rolls_before` are sounds of the
    take that were rejected, and the latest, where that is to be left so. `touched` tells that a file is what it
    should be, though its time is not that of its placing. `in_the_way` are paths of files of a person's that a coming
    sound takes the place of.
    """

    take: Take
    external_id: str
    attempt: Attempt | None = None
    entry: LockEntry | None = None
    finished: LockEntry | None = None
    moved: LockEntry | None = None
    known_files: Mapping[str, FileRecord]
    presence: Mapping[str, Presence]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    finished_files: Mapping[str, FileRecord] = field(default_factory=dict)
    made_before: tuple[FileRecord, ...] = ()
    remarks: tuple[Remark, ...] = ()
    sources: Mapping[str, Presence] = field(default_factory=dict)
    earlier_units: Decimal = NOTHING
    rolls_before: tuple[LockEntry, ...] = ()
    touched: bool = False
    in_the_way: tuple[str, ...] = ()

    @property
    def rejected(self) -> tuple[Remark, ...]:
        """What rejects its sound; nothing where it is to be looked at in another way now, or finished again."""
        is_open = self.recipe != self.take.job.recipe or is_unfinished(self.remarks)
        return () if is_open else rejecting(self.remarks)

    @property
    def edited(self) -> tuple[str, ...]:
        """The paths of files that a person edited, and that are kept."""
        found = (name for name, presence in self.presence.items() if presence is Presence.EDITED)
        return tuple(self.take.path(name) for name in found)


def with_rerolls(takes: Iterable[Take], lock: Lock) -> tuple[Take, ...]:
    """Give each take its edition: the job's, and what was asked for of that take alone.

    A take that is asked for again has been rolled as often as when it was retired.
    """
    past = _retired(lock)
    editions = ((take, take.job.edition + _rolls(take, lock, past)) for take in takes)
    return tuple(take if take.edition == edition else replace(take, edition=edition) for take, edition in editions)


def _rolls(take: Take, lock: Lock, past: _Past) -> int:
    entry = lock.entries.get(take.key)
    if entry is not None:
        return entry.rerolls
    numbers = (
        entry.rerolls
        for entry in past.get(take.key, ())
        if is_of(entry, replace(take, edition=take.job.edition + entry.rerolls))
    )
    return max(numbers, default=0)


def _retired(lock: Lock) -> _Past:
    """Sort retired entries by take."""
    past: dict[TakeKey, list[LockEntry]] = {}
    for entry in lock.retired.values():
        past.setdefault(entry.key, []).append(entry)
    return past


def is_of(entry: LockEntry, take: Take) -> bool:
    """Whether a lock's entry is of exactly this take: of its request, its edition and its number."""
    name = entry.moved_from
    if name is not None:
        take = replace(take, job=replace(take.job, id=name))
    return entry.external_id == external_task_id(take, entry.attempt)


def read_states(
    takes: Sequence[Take],
    snapshot: Snapshot,
    lock: Lock,
    out: Path,
    *,
    keep_sources: bool = False,
    reroll_rejected: int = 0,
) -> list[TakeState]:
    """Look at journal, lock and disk. A file is hashed only where its size and time say nothing.

    Args:
        takes: All takes of the manifest, so that it is known which jobs are gone.
        snapshot: What the journal says.
        lock: What the lock says.
        out: The output folder.
        keep_sources: Whether sounds are to stand under `sources/` as they were delivered, where they are finished.
        reroll_rejected: How many rejected sounds of a take another is made in place of.

    Raises:
        DiskUnusable: A file is there and cannot be read.
    """
    moves, past = _moves(takes, lock), _retired(lock)
    states = []
    for take in takes:
        rolled, before = _rolled(take, snapshot, lock, past, reroll_rejected) if take.job.recipe else (take, ())
        state = _state(rolled, take.key, snapshot, lock, out, moves, past, keep_sources=keep_sources)
        states.append(replace(state, rolls_before=before) if before else state)
    return states


def _rolled(take: Take, snapshot: Snapshot, lock: Lock, past: _Past, most: int) -> tuple[Take, tuple[LockEntry, ...]]:
    """Go on to the roll of a take that counts: after a rejected one to the next that was begun, or is to be made.

    Args:
        take: The take, as the lock has it.
        snapshot: What the journal says: it may have rolls that the lock does not know of.
        lock: What the lock says.
        past: What is retired.
        most: How many rejected sounds another is made in place of.

    Returns:
        The roll, and those before it that were rejected; it, too, where no other is made.
    """
    entry = lock.entries.get(take.key)
    locked = (*past.get(take.key, ()), *(() if entry is None else (entry,)))

    def rejected(roll: Take, recipe: Mapping[str, Any] | None = None) -> list[LockEntry]:
        known = [*(each for each in locked if is_of(each, roll)), *_of_journal(roll, snapshot)]
        found = known if recipe is None else [each for each in known if each.recipe == recipe][:1]
        return [each for each in found if rejecting(each.remarks) and not is_unfinished(each.remarks)][:1]

    earlier = (replace(take, edition=edition) for edition in range(take.job.edition, take.edition))
    before = [each for roll in earlier for each in rejected(roll)]
    while found := rejected(take, take.job.recipe):
        before += found
        again = replace(take, edition=take.edition + 1)
        row = latest_attempt(again, snapshot.attempts)
        if len(before) > most and (row is None or row.stage not in ON_ITS_WAY):
            break
        take = again
    return take, tuple(before)


def _of_journal(take: Take, snapshot: Snapshot) -> list[LockEntry]:
    """Say as the lock does what the journal alone knows of a sound that was made."""
    row = latest_attempt(take, snapshot.attempts)
    if row is None or row.stage is not Stage.DELIVERED:
        return []
    units = row.units + _earlier_units(take, row, snapshot.attempts)
    return [entry_of(take, row, units=units, files=[file.record for file in snapshot.files.get(row.external_id, ())])]


def entry_of(
    take: Take, row: Attempt, *, units: Decimal, files: Iterable[FileRecord], finished: Iterable[FileRecord] = ()
) -> LockEntry:
    """Say as the lock does what is known of a sound that was made, with nothing that people say of it."""
    return LockEntry(
        job_id=take.job.id,
        take=take.number,
        edition=take.edition,
        attempt=row.attempt,
        kind=take.job.kind,
        external_id=row.external_id,
        task_id=row.task_id or "",
        units=units,
        request=take.job.request,
        files=tuple(files),
        rerolls=take.edition - take.job.edition,
        rights_by=row.rights_by,
        rights_at=row.rights_at,
        voice_id=row.voice_id,
        recipe=row.recipe,
        finished=tuple(finished),
        remarks=row.remarks,
    )


def _state(
    take: Take,
    key: TakeKey,
    snapshot: Snapshot,
    lock: Lock,
    out: Path,
    moves: Mapping[TakeKey, LockEntry],
    past: _Past,
    *,
    keep_sources: bool,
) -> TakeState:
    attempt = latest_attempt(take, snapshot.attempts)
    entry = lock.entries.get(key)
    retired = past.get(key, ())
    locked = retired if entry is None else (entry, *retired)
    latest_id = attempt.external_id if attempt is not None else None
    finished = next((each for each in locked if each.external_id == latest_id or is_of(each, take)), None)
    moved = moves.get(key)
    if finished is not None or (attempt is not None and attempt.stage is not Stage.WITHDRAWN):
        moved = None
    if moved is not None:
        take = replace(take, edition=moved.edition)
    known: dict[str, FileRecord] = {}
    placed: dict[str, PlacedFile] = {}
    sound = finished or moved
    if sound is not None:
        attempt = snapshot.attempts.get(sound.external_id, attempt)
        known = {record.format: record for record in sound.files}
    made: list[PlacedFile] = []
    done: list[tuple[Mapping[str, Any], Sequence[FileRecord], tuple[Remark, ...]]] = []
    if sound is not None:
        done.append((sound.recipe, sound.finished, sound.remarks))
    if attempt is not None and attempt.stage is Stage.DELIVERED:
        for file in snapshot.files.get(attempt.external_id, ()):
            placed[file.record.format] = file
            known[file.record.format] = file.record
        made = snapshot.finished.get(attempt.external_id, [])
        done.append((attempt.recipe, [file.record for file in made], attempt.remarks))
    recipe, finished_files, remarks = _as_asked(done, take.job)
    wanted = {name: (take.path(name), known.get(name), placed.get(name)) for name in take.job.outputs}
    if take.job.finish:
        at = {file.record.format: file for file in made if finished_files.get(file.record.format) == file.record}
        wanted |= {
            name: (take.path(name), finished_files.get(name), at.get(name)) for name in take.job.finish["formats"]
        }
    rejected = recipe == take.job.recipe and rejecting(remarks) and not is_unfinished(remarks)
    looks = {} if rejected else {name: _look(out, *files) for name, files in wanted.items()}
    kept = take.job.formats if keep_sources and take.job.finish and not rejected else ()
    beside = {name: _look(out, take.source_path(name), known.get(name), placed.get(name)) for name in kept}
    latest = sound or attempt
    return TakeState(
        take=take,
        external_id=latest.external_id if latest is not None else external_task_id(take),
        attempt=attempt,
        entry=entry,
        finished=finished,
        moved=moved,
        known_files=known,
        recipe=recipe,
        finished_files=finished_files,
        made_before=tuple(file for _, files, _ in done for file in files),
        remarks=remarks,
        presence={name: presence for name, (presence, _) in looks.items()},
        sources={name: presence for name, (presence, _) in beside.items()},
        earlier_units=_earlier_units(take, attempt, snapshot.attempts),
        touched=any(touched for _, touched in (*looks.values(), *beside.values())),
    )


def _as_asked(
    done: Sequence[tuple[Mapping[str, Any], Sequence[FileRecord], tuple[Remark, ...]]], job: Job
) -> tuple[Mapping[str, Any], dict[str, FileRecord], tuple[Remark, ...]]:
    """Choose of what is known to have been done with a sound what is asked for, else what is known first.

    Gives the recipe, the finished files by format, where they are those that are asked for, and the remarks.
    """
    if not done:
        return {}, {}, ()
    recipe, files, remarks = next((each for each in done if each[0] == job.recipe), done[0])
    wanted = job.finish.get("formats", ()) if recipe.get("finish", {}) == job.finish else ()
    return recipe, {file.format: file for file in files if file.format in wanted}, remarks


def latest_attempt(take: Take, attempts: Mapping[str, Attempt]) -> Attempt | None:
    """Follow a take's attempts to the last that the journal knows. Only a failed one can have a next."""
    latest = None
    number = 1
    while (row := attempts.get(external_task_id(take, number))) is not None:
        latest = row
        number += 1
        if row.stage is not Stage.FAILED:
            break
    return latest


def _earlier_units(take: Take, latest: Attempt | None, attempts: Mapping[str, Attempt]) -> Decimal:
    """Add up what was charged for a take's attempts before the latest: nothing, where failures are free."""
    numbers = range(1, latest.attempt) if latest is not None else ()
    rows = (attempts.get(external_task_id(take, number)) for number in numbers)
    return sum((row.units for row in rows if row is not None), NOTHING)


def _moves(takes: Sequence[Take], lock: Lock) -> dict[TakeKey, LockEntry]:
    """Find the takes whose sound the lock has under the id of a job that is gone: of the same request and number.

    All takes of a new job come from one old job, and an old job goes to one new job. What is retired can be taken over
    as well.
    """
    jobs = {take.job.id for take in takes}
    gone: dict[str, list[LockEntry]] = {}
    known = [entry for entry in (*lock.entries.values(), *lock.retired.values()) if entry.job_id not in jobs]
    for entry in sorted(known, key=lambda entry: (entry.external_id in lock.retired, entry.key)):
        edition = entry.edition - entry.rerolls
        gone.setdefault(_likeness(entry.kind, entry.request, edition, entry.take), []).append(entry)
    if not gone:
        return {}
    heir: dict[str, str] = {}
    origin: dict[str, str] = {}
    moves: dict[TakeKey, LockEntry] = {}
    for take in takes:
        if take.key in lock.entries:
            continue
        job = take.job
        for entry in gone.get(_likeness(job.kind, job.request, job.edition, take.number), ()):
            paired = heir.get(entry.job_id, job.id) == job.id and origin.get(job.id, entry.job_id) == entry.job_id
            made_as = replace(take, edition=entry.edition, job=replace(job, id=entry.job_id))
            if paired and is_of(entry, made_as):
                heir[entry.job_id], origin[job.id] = job.id, entry.job_id
                moves[take.key] = entry
                break
    return moves


def _likeness(kind: str, request: Mapping[str, object], edition: int, number: int) -> str:
    return json.dumps([kind, dict(request), edition, number], sort_keys=True)


def _look(out: Path, path: str, record: FileRecord | None, placed: PlacedFile | None) -> tuple[Presence, bool]:
    """Say how a file stands, and whether it was touched since it was placed and is nevertheless what it should be."""
    if record is None:
        return Presence.NEVER, False
    found = look(out, path)
    if found is None:
        return Presence.MISSING, False
    if found.st_size != record.bytes or not S_ISREG(found.st_mode):
        return Presence.MODIFIED, False
    if placed is not None and placed.mtime_ns == found.st_mtime_ns and placed.record.path == path:
        return Presence.PRESENT, False
    same = hash_file(out / path) == record.sha256
    return (Presence.PRESENT, True) if same else (Presence.MODIFIED, False)
