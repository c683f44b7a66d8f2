"""What is done with a sound once it has come: it is looked at, finished, and what was made of it goes to the store.

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
from kling_batch.delivery.finish import Made, MadeFile, Unfinishable, finish_sound, read_sound
from kling_batch.effects import Probe, no_probe
from kling_batch.errors import DiskUnusable
from kling_batch.model import Remark, Shape, rejecting
from kling_batch.records.store import Store
from kling_batch.text import one_line

_LONGEST = 500
"""Characters of what is said of a sound, as the lock takes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """A sound as it was delivered, in `source`, and what is done with it: see `Job.recipe`.

    What is made of it goes to `folder`, under `name` and the ending of its format, with the text `tags`. `others` are
    those that it shall not be alike, by what people call them.
    """

    source: Path
    recipe: Mapping[str, Any]
    folder: Path
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Fingerprint] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What came of a sound. One that is rejected has no files; `trouble` is what went wrong with the store.

    `fingerprint` is there where it is looked whether sounds are alike, `before` where it was finished.
    """

    remarks: tuple[Remark, ...]
    files: tuple[MadeFile, ...] = ()
    before: Shape | None = None
    fingerprint: Fingerprint | None = None
    trouble: str | None = None


def finish(sound: Sound, *, store: Store | None, probe: Probe = no_probe) -> Finished:
    """Look at a sound, finish it unless it is rejected, and keep copies of what was made of it. Blocks.

    Args:
        sound: The sound, and what to do with it.
        store: Where copies are kept. One that cannot be used is told of: all of it can be made again.
        probe: Is told of every effect.

    Raises:
        DiskUnusable: The sound cannot be read, or nothing can be written to the folder.
    """
    found: list[Remark] = []
    fingerprint, made = None, None
    try:
        if sound.recipe.get("check"):
            fingerprint = _look(sound, found)
        if sound.recipe.get("finish") and not rejecting(found):
            probe("finish write")
            made = _made(sound, found)
    except Unfinishable as error:
        asked = [check["then"] for check in sound.recipe.get("check", {}).values()]
        if "finish" in sound.recipe:
            found.append(_remark("finish", f"it cannot be finished: {error.reason}", then="fail"))
        else:
            then = "fail" if "fail" in asked else "warn"
            found.append(_remark("check", f"it cannot be looked at: {error.reason}", then=then))
    remarks = tuple(found)
    if made is None:
        return Finished(remarks=remarks, fingerprint=fingerprint)
    trouble = None if store is None else _put(made.files, store)
    return Finished(remarks=remarks, files=made.files, before=made.before, fingerprint=fingerprint, trouble=trouble)


def fingerprint_of(source: Path) -> Fingerprint | None:
    """Take what is compared of a sound; None where it cannot be read. Blocks."""
    try:
        return checks.fingerprint(*read_sound(source))
    except Unfinishable:
        return None


def _look(sound: Sound, found: list[Remark]) -> Fingerprint | None:
    asked = sound.recipe["check"]
    samples, rate = read_sound(sound.source)
    found += checks.remarks(samples, rate, asked)
    if "alike" not in asked:
        return None
    own = checks.fingerprint(samples, rate)
    beside = (checks.alike(own, other, asked["alike"], name=name) for name, other in sound.others.items())
    found += [remark for remark in beside if remark is not None][:1]
    return own


def _made(sound: Sound, found: list[Remark]) -> Made:
    made = finish_sound(sound.source, sound.recipe["finish"], folder=sound.folder, name=sound.name, tags=sound.tags)
    found += [_remark("finish", note, then="warn") for note in made.notes]
    return made


def _remark(check: str, words: str, *, then: str) -> Remark:
    return Remark(check=check, then=then, words=one_line(f"{check}: {words}", _LONGEST))


def _put(files: tuple[MadeFile, ...], store: Store) -> str | None:
    try:
        for file in files:
            store.put(file.path, file.sha256)
    except DiskUnusable as error:
        return error.message
    return None
