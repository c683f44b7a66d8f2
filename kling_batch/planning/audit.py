"""Files against the lock: what is missing, modified, broken, or there without being asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from kling_batch.catalog import formats, kind_of
from kling_batch.catalog.finish import FINISHED
from kling_batch.delivery.place import REJECTED
from kling_batch.delivery.verify import Rejected, verify_audio
from kling_batch.disk import disk_border, hash_file, is_file, look
from kling_batch.model import FileRecord, Take, rejecting
from kling_batch.planning.edits import is_edited, made_here
from kling_batch.planning.picks import Chosen, Picks, picks_of
from kling_batch.planning.project import Project
from kling_batch.records.attempts import PlacedFile
from kling_batch.records.layout import FOLDER
from kling_batch.records.lock import Lock
from kling_batch.records.snapshot import Snapshot
from kling_batch.records.state import is_of

_THREADS = 4
_FOREIGN = "nothing in the manifest asks for it"
_ORPHAN = "an orphan: it was made for this set, and nothing asks for it there; kling-batch clean moves it away"


class Finding(StrEnum):
    """What can be wrong with a file or a take."""

    MISSING = "missing"
    MODIFIED = "modified"
    BROKEN = "broken"
    EXTRA = "extra"
    UNLOCKED = "unlocked"
    REJECTED = "rejected"
    UNSTORED = "unstored"


class Flaw(NamedTuple):
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
    keys = {take.job.id for take in takes}
    chosen = [one for one in picks.chosen if one.take.job.id in keys]
    with ThreadPoolExecutor(_THREADS) as pool:
        each = map if quick else pool.map
        flaws = [flaw for found in each(lambda take: _of_take(take, lock, out, quick), takes) for flaw in found]
    for one in chosen:
        for record in one.records:
            flaws += _of_file(one.take, record, out, one.path(record), quick)
    reasons = {job_id: reason for job_id, reason in picks.unplaceable.items() if job_id in keys}
    flaws += [Flaw(Finding.UNLOCKED, None, f"{job_id} (picked)", reason) for job_id, reason in reasons.items()]
    if not quick:
        flaws = _with_edits(flaws, lock, out)
    if extras:
        found = list(_extras(takes, chosen, out))
        ours = {} if quick else _made_here(found, lock, out)
        flaws += [Flaw(Finding.EXTRA, path, None, _ORPHAN if path in ours else _FOREIGN) for path in found]
    return flaws


def orphans(project: Project, snapshot: Snapshot) -> dict[str, str]:
    """Find the sounds that were made for this set and that nothing asks for where they stand, each with its hash.

    Raises:
        DiskUnusable: A file cannot be read.
    """
    takes, lock = project.manifest.takes, project.lock
    found = list(_extras(takes, picks_of(takes, lock).chosen, project.out))
    placed = (*snapshot.files.values(), *snapshot.finished.values())
    return _made_here(found, lock, project.out, placed)


def _made_here(
    paths: Sequence[str], lock: Lock, out: Path, placed: Iterable[Sequence[PlacedFile]] = ()
) -> dict[str, str]:
    made = made_here(lock, placed) if paths else ()
    hashes = {path: _hash(out, path) for path in paths}
    return {path: sha256 for path, sha256 in hashes.items() if sha256 in made}


def _hash(out: Path, path: str) -> str:
    with disk_border(out / path):
        return hash_file(out / path) if is_file(out, path) else ""


def _with_edits(flaws: Sequence[Flaw], lock: Lock, out: Path) -> list[Flaw]:
    """Say which modified files a person edited: a run keeps those, and puts the others back."""
    modified = [flaw.path for flaw in flaws if flaw.finding is Finding.MODIFIED and flaw.path]
    made = made_here(lock) if modified else ()
    edited = {path for path in modified if is_edited(out, path, made)}
    return [flaw._replace(detail=f"edited: {flaw.detail}") if flaw.path in edited else flaw for flaw in flaws]


def _of_take(take: Take, lock: Lock, out: Path, quick: bool) -> list[Flaw]:
    entry = lock.entries.get(take.key)
    if entry is None or not is_of(entry, take):
        detail = "it is not in the lock" if entry is None else "what is asked for changed since it was locked"
        return [Flaw(Finding.UNLOCKED, None, str(take.key), detail)]
    if rejected := rejecting(entry.remarks):
        return [Flaw(Finding.REJECTED, None, str(take.key), "; ".join(remark.words for remark in rejected))]
    if entry.recipe != take.job.recipe:
        return [Flaw(Finding.UNLOCKED, None, str(take.key), "it is not finished, or checked, as the manifest says")]
    locked = entry.shipped(take.job)
    flaws: list[Flaw] = []
    for record in entry.files:
        path = take.source_path(record.format)
        if record.format not in locked and look(out, path) is not None:
            flaws += _of_file(take, record, out, path, quick)
    for name in take.job.outputs:
        path = take.path(name)
        if name in locked:
            flaws += _of_file(take, locked[name], out, path, quick)
        else:
            flaws.append(Flaw(Finding.UNLOCKED, path, str(take.key), f"no {name} is locked"))
    return flaws


def _of_file(take: Take, record: FileRecord, out: Path, path: str, quick: bool) -> Iterator[Flaw]:
    found = look(out, path)
    if found is None or not S_ISREG(found.st_mode):
        yield Flaw(Finding.MISSING, path, str(take.key), "there is no such file")
    elif found.st_size != record.bytes:
        detail = f"it has {found.st_size} bytes, and {record.bytes} are locked"
        yield Flaw(Finding.MODIFIED, path, str(take.key), detail)
    elif not quick and hash_file(out / path) != record.sha256:
        yield Flaw(Finding.MODIFIED, path, str(take.key), "its bytes are not those of the lock")
    elif not quick:
        kind, finish = kind_of(take.job), take.job.finish
        also = () if finish else kind.outputs[record.format].also
        length = None if finish else kind.length_of(take.job)
        verdict = verify_audio(out / path, audio_format=record.format, requested_s=length, also=also)
        if isinstance(verdict, Rejected):
            yield Flaw(Finding.BROKEN, path, str(take.key), verdict.reason)


def _extras(takes: Sequence[Take], chosen: Sequence[Chosen], out: Path) -> Iterator[str]:
    wanted = {take.path(name) for take in takes for name in take.job.outputs}
    wanted |= {take.source_path(name) for take in takes for name in take.job.formats}
    wanted |= {one.path(record) for one in chosen for record in one.records}
    suffixes = tuple(f".{name}" for name in {*formats(), *FINISHED})
    for folder, folders, files in os.walk(out):
        inside = Path(folder).relative_to(out).as_posix()
        folders[:] = sorted(name for name in folders if inside != "." or name not in {FOLDER, REJECTED})
        for name in sorted(files):
            path = name if inside == "." else f"{inside}/{name}"
            if name.endswith(suffixes) and path not in wanted:
                yield path
