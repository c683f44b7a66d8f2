"""Files against the lock: what is missing, modified, broken, or there without being asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from stat import S_ISREG
from typing import TypeAlias

from kling_batch.catalog import formats, kind_of
from kling_batch.delivery.place import REJECTED
from kling_batch.delivery.verify import Rejected, verify_audio
from kling_batch.disk import hash_file, look
from kling_batch.model import FileRecord, Take
from kling_batch.planning.picks import Chosen, Picks
from kling_batch.records.layout import FOLDER
from kling_batch.records.lock import Lock, LockEntry
from kling_batch.records.state import is_of

_THREADS = 4

_Check: TypeAlias = Callable[[Take, FileRecord, Path, str], "Flaw | None"]
"""Compares a file, by its path under a folder, with what is locked of it."""


class Finding(StrEnum):
    """What can be wrong with a file or a take."""

    MISSING = "missing"
    MODIFIED = "modified"
    BROKEN = "broken"
    EXTRA = "extra"
    UNLOCKED = "unlocked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """One thing that is not as the lock says. `path` is under the output folder; None for a take without a file."""

    finding: Finding
    path: str | None
    take: str | None
    detail: str


def audit(
    takes: Sequence[Take], lock: Lock, out: Path, *, picks: Picks, extras: bool, quick: bool = False
) -> list[Flaw]:
    """Hash and decode every file that is asked for.

    Args:
        takes: What to look at.
        lock: What it has to be.
        out: The output folder.
        picks: Which takes also stand under plain names.
        extras: Also look for sounds that nobody asked for.
        quick: Only compare names and sizes.

    Raises:
        DiskUnusable: A folder on the way to a file is a link.
        OSError: A file is there and cannot be read.
    """
    check = _size if quick else _content
    keys = {take.job.id for take in takes}
    chosen = [one for one in picks.chosen if one.take.job.id in keys]
    with ThreadPoolExecutor(_THREADS) as pool:
        each = map if quick else pool.map
        flaws = [flaw for found in each(lambda take: _take(take, lock, out, check), takes) for flaw in found]
    for one in chosen:
        found = (check(one.take, record, out, one.path(record)) for record in one.records)
        flaws += [flaw for flaw in found if flaw is not None]
    flaws += [
        Flaw(finding=Finding.UNLOCKED, path=None, take=f"{pick.job_id} (picked)", detail=pick.reason)
        for pick in picks.unplaceable
        if pick.job_id in keys
    ]
    if extras:
        flaws += _extras(takes, chosen, out)
    return flaws


def _take(take: Take, lock: Lock, out: Path, check: _Check) -> list[Flaw]:
    entry = lock.entries.get(take.key)
    if entry is None or not is_of(entry, take):
        detail = "it is not in the lock" if entry is None else "what is asked for changed since it was locked"
        return [Flaw(finding=Finding.UNLOCKED, path=None, take=str(take.key), detail=detail)]
    return [flaw for name in take.job.formats if (flaw := _file(take, name, entry, out, check)) is not None]


def _file(take: Take, audio_format: str, entry: LockEntry, out: Path, check: _Check) -> Flaw | None:
    path = take.path(audio_format)
    record = next((file for file in entry.files if file.format == audio_format), None)
    if record is None:
        return Flaw(finding=Finding.UNLOCKED, path=path, take=str(take.key), detail=f"no {audio_format} is locked")
    return check(take, record, out, path)


def _size(take: Take, record: FileRecord, out: Path, path: str) -> Flaw | None:
    found = look(out, path)
    if found is None or not S_ISREG(found.st_mode):
        return Flaw(finding=Finding.MISSING, path=path, take=str(take.key), detail="there is no such file")
    if found.st_size != record.bytes:
        detail = f"it has {found.st_size} bytes, and {record.bytes} are locked"
        return Flaw(finding=Finding.MODIFIED, path=path, take=str(take.key), detail=detail)
    return None


def _content(take: Take, record: FileRecord, out: Path, path: str) -> Flaw | None:
    flaw = _size(take, record, out, path)
    if flaw is not None:
        return flaw
    if hash_file(out / path) != record.sha256:
        detail = "its bytes are not those of the lock"
        return Flaw(finding=Finding.MODIFIED, path=path, take=str(take.key), detail=detail)
    verdict = verify_audio(out / path, audio_format=record.format, requested_s=kind_of(take.job).length_of(take.job))
    if isinstance(verdict, Rejected):
        return Flaw(finding=Finding.BROKEN, path=path, take=str(take.key), detail=verdict.reason)
    return None


def _extras(takes: Sequence[Take], chosen: Sequence[Chosen], out: Path) -> Iterator[Flaw]:
    wanted = {take.path(name) for take in takes for name in take.job.formats}
    wanted |= {one.path(record) for one in chosen for record in one.records}
    suffixes = tuple(f".{name}" for name in formats())
    for folder, folders, files in os.walk(out):
        inside = Path(folder).relative_to(out).as_posix()
        folders[:] = sorted(name for name in folders if inside != "." or name not in {FOLDER, REJECTED})
        for name in sorted(files):
            path = name if inside == "." else f"{inside}/{name}"
            if name.endswith(suffixes) and path not in wanted:
                yield Flaw(finding=Finding.EXTRA, path=path, take=None, detail="nothing in the manifest asks for it")
