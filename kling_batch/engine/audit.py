"""Files against the lock: what is missing, modified, broken, or there without being asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kling_batch.files.disk import hash_file
from kling_batch.files.lock import Lock, LockEntry
from kling_batch.files.verify import Rejected, verify_audio
from kling_batch.identity import external_task_id
from kling_batch.journal.journal import FOLDER
from kling_batch.model import AUDIO_FORMATS, FileRecord, Take

_THREADS = 4


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


def audit(takes: Sequence[Take], lock: Lock, out: Path, *, extras: bool) -> list[Flaw]:
    """Hash and decode every file that is asked for. `extras` also looks for sounds that nobody asked for.

    Raises:
        OSError: A file is there and cannot be read.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        flaws = [flaw for found in pool.map(lambda take: _take(take, lock, out), takes) for flaw in found]
    if extras:
        flaws += _extras(takes, out)
    return flaws


def _take(take: Take, lock: Lock, out: Path) -> list[Flaw]:
    entry = lock.entries.get(take.key)
    if entry is None or entry.external_id != external_task_id(take, entry.attempt):
        detail = "it is not in the lock" if entry is None else "what is asked for changed since it was locked"
        return [Flaw(finding=Finding.UNLOCKED, path=None, take=str(take.key), detail=detail)]
    return [flaw for name in take.job.formats if (flaw := _file(take, name, entry, out)) is not None]


def _file(take: Take, audio_format: str, entry: LockEntry, out: Path) -> Flaw | None:
    path = take.path(audio_format)
    record = next((file for file in entry.files if file.format == audio_format), None)
    if record is None:
        return Flaw(finding=Finding.UNLOCKED, path=path, take=str(take.key), detail=f"no {audio_format} is locked")
    if not (out / path).is_file():
        return Flaw(finding=Finding.MISSING, path=path, take=str(take.key), detail="there is no such file")
    return _content(take, record, out / path, path)


def _content(take: Take, record: FileRecord, file: Path, path: str) -> Flaw | None:
    if hash_file(file) != record.sha256:
        detail = "its bytes are not those of the lock"
        return Flaw(finding=Finding.MODIFIED, path=path, take=str(take.key), detail=detail)
    verdict = verify_audio(
        file, audio_format=record.format, expected_s=record.duration_s, requested_s=take.job.duration_s
    )
    if isinstance(verdict, Rejected):
        return Flaw(finding=Finding.BROKEN, path=path, take=str(take.key), detail=verdict.reason)
    return None


def _extras(takes: Sequence[Take], out: Path) -> Iterator[Flaw]:
    wanted = {take.path(name) for take in takes for name in take.job.formats}
    suffixes = {f".{name}" for name in AUDIO_FORMATS}
    for file in sorted(out.rglob("*")):
        path = file.relative_to(out).as_posix()
        if file.suffix in suffixes and path not in wanted and not path.startswith(f"{FOLDER}/"):
            yield Flaw(finding=Finding.EXTRA, path=path, take=None, detail="nothing in the manifest asks for it")
