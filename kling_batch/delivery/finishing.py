"""What is done with a sound once it has come: it is looked at, and finished.

A function of values, which a process or another machine could run as well as a thread. What it makes stands under no
final name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kling_batch.delivery import checks
from kling_batch.delivery.checks import Fingerprint
from kling_batch.delivery.finish import MadeFile, Unfinishable, finish_sound, read_sound
from kling_batch.effects import Probe, no_probe
from kling_batch.model import Remark, Shape, rejecting
from kling_batch.text import one_line

_LONGEST = 500
"""Characters of what is said of a sound, as the lock takes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be done with a sound: see `Job.recipe`.

    `tags` are text that is written into what is made of it, `others` are those that it shall not be alike, by what
    people call them.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Fingerprint] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What came of a sound. One that is rejected has no files.

    `fingerprint` is there where it is looked whether sounds are alike, `before` where it was finished.
    """

    remarks: tuple[Remark, ...]
    files: tuple[MadeFile, ...] = ()
    before: Shape | None = None
    fingerprint: Fingerprint | None = None


def finish(source: Path, wanted: Wanted, *, folder: Path, name: str, probe: Probe = no_probe) -> Finished:
    """Look at a sound, and finish it unless it is rejected. Blocks.

    Args:
        source: The sound as it was delivered.
        wanted: What to do with it.
        folder: Where the finished files go.
        name: Their name, without the ending of their format.
        probe: Is told of every effect.

    Raises:
        DiskUnusable: The sound cannot be read, or nothing can be written to the folder.
    """
    found: list[Remark] = []
    checks_asked, recipe = wanted.recipe.get("check", {}), wanted.recipe.get("finish")
    fingerprint, made = None, None
    try:
        if checks_asked:
            fingerprint = _look(source, checks_asked, wanted.others, found)
        if recipe and not rejecting(found):
            probe("finish write")
            made = finish_sound(source, recipe, folder=folder, name=name, tags=wanted.tags)
            found += [_remark("finish", note, then="warn") for note in made.notes]
    except Unfinishable as error:
        if recipe is not None:
            found.append(_remark("finish", f"it cannot be finished: {error}", then="fail"))
        else:
            then = "fail" if "fail" in [check["then"] for check in checks_asked.values()] else "warn"
            found.append(_remark("check", f"it cannot be looked at: {error}", then=then))
    if made is None:
        return Finished(remarks=tuple(found), fingerprint=fingerprint)
    return Finished(remarks=tuple(found), files=made.files, before=made.before, fingerprint=fingerprint)


def fingerprint_of(source: Path) -> Fingerprint | None:
    """Take what is compared of a sound; None where it cannot be read. Blocks."""
    try:
        return checks.fingerprint(*read_sound(source))
    except Unfinishable:
        return None


def _look(
    source: Path, asked: Mapping[str, Any], others: Mapping[str, Fingerprint], found: list[Remark]
) -> Fingerprint | None:
    samples, rate = read_sound(source)
    found += checks.remarks(samples, rate, asked)
    if "alike" not in asked:
        return None
    own = checks.fingerprint(samples, rate)
    beside = (checks.alike(own, other, asked["alike"], name=name) for name, other in others.items())
    found += [remark for remark in beside if remark is not None][:1]
    return own


def _remark(check: str, words: str, *, then: str) -> Remark:
    return Remark(check=check, then=then, words=one_line(f"{check}: {words}", _LONGEST))
