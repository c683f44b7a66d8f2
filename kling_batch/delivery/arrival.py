"""A file that has arrived is verified, copied into the store and placed; one that cannot be trusted is kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from kling_batch.delivery.place import place, placed_now, reject, rejected_path, why_rejected
from kling_batch.delivery.verify import Rejected, Suspect, Verified, verify_audio
from kling_batch.disk import disk_border, hash_file, inside, is_file
from kling_batch.effects import Probe
from kling_batch.model import FileRecord
from kling_batch.records.attempts import PlacedFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where a file goes under the output folder, and what it has to be.

    `sha256` is None where any sound will do, and `also` are other formats that will do; `with_shape` asks for what it
    looks like. One that is not `final` only has to stand there if the store has no copy.
    """

    path: str
    audio_format: str
    requested_s: float | None
    external_id: str
    task_id: str | None
    stated_s: float | None = None
    sha256: str | None = None
    also: tuple[str, ...] = ()
    with_shape: bool = False
    final: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """The file stands under its final name, or it is a copy of the store's: `at` is where.

    The warnings name it; `replaced` is where what stood under its name is kept.
    """

    file: PlacedFile
    at: Path
    warnings: tuple[str, ...]
    replaced: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubted:
    """The file is not taken, and kept in `kept`. `twice`: the same bytes were kept there before."""

    reason: str
    kept: Path
    twice: bool


def take_in(
    coming: Path,
    sha256: str,
    target: Target,
    *,
    out: Path,
    copy: Callable[[Path, str], bool],
    doubted: Iterable[Path],
    probe: Probe,
    verified: Verified | None = None,
) -> Arrived | Doubted:
    """Verify a whole file, and give it its final name or keep it apart. Blocks: call it from a thread.

    Args:
        coming: The file; gone afterwards, unless the store has it and that is enough.
        sha256: Its hash.
        target: Where it goes.
        out: The output folder.
        copy: Puts a sound into the store, and says whether it is there.
        doubted: What was kept apart while this sound was fetched; deleted once it is had.
        probe: Is told of every effect.
        verified: What a worker found that verified these bytes already.

    Raises:
        DiskUnusable: Something cannot be read or written; `coming` is still there.
    """
    kept = out / rejected_path(target.path, sha256)
    inside(out, why_rejected(kept).relative_to(out))
    with disk_border(kept):
        twice = is_file(out, kept.relative_to(out)) and hash_file(kept) == sha256
    sound = verified or judged(coming, sha256, target, twice=twice)
    if isinstance(sound, Rejected):
        reject(coming, target.path, out=out, sha256=sha256, reason=sound.reason, task_id=target.task_id, probe=probe)
        return Doubted(reason=sound.reason, kept=kept, twice=twice)
    size = coming.stat().st_size
    stays = not copy(coming, sha256) or target.final
    replaced = place(coming, out / target.path, out=out, sha256=sha256, probe=probe) if stays else None
    with disk_border(kept):
        for path in (*doubted, kept):
            path.unlink(missing_ok=True)
            why_rejected(path).unlink(missing_ok=True)
    record = FileRecord(
        path=target.path,
        format=target.audio_format,
        sha256=sha256,
        bytes=size,
        duration_s=round(sound.duration_s, 3),
    )
    file = placed_now(out, record, target.external_id, absent=not stays)
    warnings = tuple(f"{target.path}: {warning}" for warning in sound.warnings)
    at = out / target.path if stays else coming
    return Arrived(file=replace(file, shape=sound.shape), at=at, warnings=warnings, replaced=replaced)


def judged(coming: Path, sha256: str, target: Target, *, twice: bool) -> Verified | Rejected:
    """Decide whether a file is taken; blocks. The same bytes `twice`, or the lock's, are what the service made."""
    if target.sha256 not in {None, sha256}:
        return Rejected(reason="the service gives other bytes than the lock names")
    verdict = verify_audio(
        coming,
        audio_format=target.audio_format,
        requested_s=target.requested_s,
        stated_s=target.stated_s,
        also=target.also,
        with_shape=target.with_shape,
    )
    match verdict:
        case Verified() | Rejected():
            return verdict
        case Suspect(sound=sound, reason=reason):
            if twice or target.sha256 is not None:
                return replace(sound, warnings=(*sound.warnings, f"{reason}; the service made it so"))
            return Rejected(reason=reason)
        case _:
            assert_never(verdict)
