"""Finishes sounds: artifacts that are derived from a source by a recipe, as often as one likes, at no cost.

A file a step, each a function of a sound and its parameters. A sound is float32, a row a sample, a column a channel.
The same source, recipe and versions of the libraries give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_batch.delivery.finish.channels import with_channels
from kling_batch.delivery.finish.fade import faded
from kling_batch.delivery.finish.level import decibels, levelled
from kling_batch.delivery.finish.loop import looped
from kling_batch.delivery.finish.rate import at_rate
from kling_batch.delivery.finish.reading import Unfinishable, decode, read_sound
from kling_batch.delivery.finish.tags import MADE_BY, tags_of
from kling_batch.delivery.finish.trim import trimmed
from kling_batch.delivery.finish.writing import LOSSY, encode, rate_for
from kling_batch.delivery.shape import shape_of
from kling_batch.disk import disk_border
from kling_batch.model import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Made", "MadeFile", "Unfinishable", "finish_sound", "read_sound", "tags_of"]

_DEFAULT_BITS = 16
_WORTH_SAYING_DB = 0.1
_OFF_DB = 0.25
"""By so much an encoder may change the loudness, else the sound is encoded once more."""
_LITTLE_MORE_DB = 0.04
"""By how much more than its overshoot a lossy file is lowered: the next encoding is a little different."""
_SILENCE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeFile:
    """A finished file, and what is heard of it."""

    path: Path
    format: str
    sha256: str
    bytes: int
    duration_s: float
    shape: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """The finished files of a sound, what a person may want to know of how they came out, and what the source was."""

    files: tuple[MadeFile, ...]
    notes: tuple[str, ...]
    before: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sound:
    samples: NDArray[np.float32]
    rate: int
    shape: Shape
    start_s: float


def finish_sound(source: Path, recipe: Mapping[str, Any], *, folder: Path, name: str, tags: Mapping[str, str]) -> Made:
    """Finish a sound by a recipe. Blocks for some 0.2 s for ten seconds of stereo, mostly while it encodes.

    Args:
        source: The file as it was delivered.
        recipe: As a job has it: see `docs/finishing.md`. What is not in it is not done.
        folder: Where the files go. It is there.
        name: Their name, without the extension.
        tags: Text to write into them; see `tags.tags_of`.

    Raises:
        Unfinishable: It cannot be done; what was written of it so far is of no use.
        DiskUnusable: A file cannot be read or written.
    """
    samples, rate = read_sound(source)
    left_out = () if recipe.get("made_by", True) else (MADE_BY,)
    kept = [name for name in tags if recipe.get("tags", True) and name not in left_out]
    texts = {name: tags[name].encode(errors="replace").decode() for name in kept}
    sounds: dict[int, _Sound] = {}
    notes: list[str] = []
    files = []
    for audio_format in recipe["formats"]:
        to = rate_for(audio_format, recipe, rate)
        if to not in sounds:
            sounds[to] = _steps(samples, rate, to, recipe, notes)
        data, shape = _written(sounds[to], audio_format, recipe, texts, notes)
        path = folder / f"{name}.{audio_format}"
        with disk_border(path):
            path.write_bytes(data)
        files.append(
            MadeFile(
                path=path,
                format=audio_format,
                sha256=hashlib.sha256(data).hexdigest(),
                bytes=len(data),
                duration_s=len(sounds[to].samples) / to,
                shape=replace(shape, start_s=sounds[to].start_s),
            )
        )
    return Made(files=tuple(files), notes=tuple(dict.fromkeys(notes)), before=shape_of(samples, rate))


def _steps(samples: NDArray[np.float32], rate: int, to: int, recipe: Mapping[str, Any], notes: list[str]) -> _Sound:
    """Take every step but the writing. The rate comes first: a loop that is resampled would get a seam."""
    if "channels" in recipe:
        samples = with_channels(samples, recipe["channels"])
    samples = at_rate(samples, rate, to)
    start = 0
    if "trim" in recipe:
        samples, start, note = trimmed(samples, to, **recipe["trim"])
        notes += [note] if note else []
    if "loop" in recipe:
        samples, note = looped(samples, to, **recipe["loop"])
        notes += [note] if note else []
    elif "fade" in recipe:
        samples, note = faded(samples, to, start=recipe["fade"]["in"], end=recipe["fade"]["out"])
        notes += [note] if note else []
    samples, shape, more = levelled(samples, to, recipe)
    notes += more
    return _Sound(samples=samples, rate=to, shape=shape, start_s=start / to)


def _written(
    sound: _Sound, audio_format: str, recipe: Mapping[str, Any], tags: Mapping[str, str], notes: list[str]
) -> tuple[bytes, Shape]:
    """Write a sound; what a lossy encoder adds to its peaks is taken off before, as often as that takes."""
    import numpy as np

    bits = recipe.get("bits", _DEFAULT_BITS)
    if sound.shape.peak > 1.0 and (audio_format in LOSSY or bits != "float"):
        over = f"{decibels(sound.shape.peak):.1f} dB over full scale"
        notes.append(f"{audio_format}: its peaks are {over}, where they are clipped; a true_peak prevents that")
    if audio_format not in LOSSY:
        return encode(sound.samples, sound.rate, audio_format, bits, tags), sound.shape
    gain, first, held = 0.0, True, False
    while True:
        samples = sound.samples if first else sound.samples * np.float32(10 ** (gain / 20))
        data = encode(samples, sound.rate, audio_format, bits, tags)
        shape = shape_of(decode(data)[0], sound.rate)
        room = recipe.get("true_peak", math.inf) - decibels(shape.true_peak or _SILENCE)
        lost = (sound.shape.loudness or 0.0) - (shape.loudness or sound.shape.loudness or 0.0)
        wanted = lost if first and "loudness" in recipe else 0.0
        held = held or room < wanted
        change = wanted if wanted <= room else room - _LITTLE_MORE_DB
        if room >= 0 and abs(change) <= _OFF_DB:
            break
        gain, first = gain + change, False
    quieter = lost if "loudness" in recipe else -gain
    if held and quieter > _WORTH_SAYING_DB:
        notes.append(f"{audio_format}: quieter by {quieter:.1f} dB, since its encoder adds to the peaks")
    return data, shape
