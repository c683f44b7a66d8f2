"""What is present: what the journal and the lock know of each take, and whether the files on disk are those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from kling_batch.files.disk import hash_file
from kling_batch.files.lock import Lock, LockEntry
from kling_batch.identity import external_task_id
from kling_batch.journal.journal import Snapshot
from kling_batch.journal.records import Attempt, PlacedFile, Stage
from kling_batch.model import FileRecord, Take


class Presence(Enum):
    """How a file on disk compares with what is known of it."""

    PRESENT = auto()
    MISSING = auto()
    MODIFIED = auto()
    NEVER = auto()
    """It was never made: the format is newly asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of a take before a run.

    `attempt` is the journal's latest attempt of exactly this take; `entry` the lock's entry under its name, which may
    be of an earlier request; `finished` the lock's entry if it is of exactly this take. `known_files` are what the
    finished take's files were, by format; `presence` is how the wanted formats stand on disk.
    """

    take: Take
    attempt: Attempt | None = None
    entry: LockEntry | None = None
    finished: LockEntry | None = None
    known_files: Mapping[str, FileRecord]
    presence: Mapping[str, Presence]


def gather(takes: Sequence[Take], snapshot: Snapshot, lock: Lock, out: Path) -> list[Facts]:
    """Look at journal, lock and disk. A file is hashed only where its size and time say nothing.

    Raises:
        DiskUnusable: A file is there and cannot be read.
    """
    return [_facts(take, snapshot, lock, out) for take in takes]


def _facts(take: Take, snapshot: Snapshot, lock: Lock, out: Path) -> Facts:
    attempt = latest_attempt(take, snapshot.attempts)
    entry = lock.entries.get(take.key)
    finished = entry if entry and entry.external_id == external_task_id(take, entry.attempt) else None
    placed: Mapping[str, PlacedFile] = {}
    known: dict[str, FileRecord] = {record.format: record for record in finished.files} if finished else {}
    if attempt is not None and attempt.stage is Stage.DELIVERED:
        placed = {file.record.format: file for file in snapshot.files.get(attempt.external_id, ())}
        known |= {name: file.record for name, file in placed.items()}
    presence = {name: _presence(out, take.path(name), known.get(name), placed.get(name)) for name in take.job.formats}
    return Facts(take=take, attempt=attempt, entry=entry, finished=finished, known_files=known, presence=presence)


def latest_attempt(take: Take, attempts: Mapping[str, Attempt]) -> Attempt | None:
    """Follow a take's attempts to the last that the journal knows."""
    latest = None
    number = 1
    while (row := attempts.get(external_task_id(take, number))) is not None:
        latest = row
        number += 1
    return latest


def _presence(out: Path, path: str, record: FileRecord | None, placed: PlacedFile | None) -> Presence:
    if record is None:
        return Presence.NEVER
    file = out / path
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Presence.MISSING
    if found.st_size != record.bytes:
        return Presence.MODIFIED
    untouched = placed is not None and placed.mtime_ns == found.st_mtime_ns and placed.record.path == path
    if untouched or hash_file(file) == record.sha256:
        return Presence.PRESENT
    return Presence.MODIFIED
