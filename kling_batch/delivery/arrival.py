"""Whether a file that has arrived is taken: what it has to be, against what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kling_batch.delivery.verify import Rejected, Suspect, Verified, verify_audio


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where a file goes under the output folder, and what it has to be.

    `sha256` is None where any sound will do, and `also` are other formats that will do; `with_shape` asks for what it
    looks like. One that is not `final` only has to stand there if the store has no copy.
    """

    path: str
    audio_format: str
    requested_s: float | None
    stated_s: float | None = None
    sha256: str | None = None
    also: tuple[str, ...] = ()
    with_shape: bool = False
    final: bool = True


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
    if not isinstance(verdict, Suspect):
        return verdict
    if not twice and target.sha256 is None:
        return Rejected(reason=verdict.reason)
    sound = verdict.sound
    return replace(sound, warnings=(*sound.warnings, f"{verdict.reason}; the service made it so"))
