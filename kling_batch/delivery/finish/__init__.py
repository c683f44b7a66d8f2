"""Finishes sounds: artifacts that are derived from a source by a recipe, as often as one likes, at no cost.

A sound is float32, a row a sample, a column a channel.
The same source, recipe and versions of the libraries give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kling_batch.delivery.finish.reading import Unfinishable, decode, read_sound
from kling_batch.delivery.finish.steps import SILENCE, WORTH_SAYING_DB, Shaped, decibels, shaped
from kling_batch.delivery.finish.tags import MADE_BY, tags_of
from kling_batch.delivery.finish.writing import LOSSY, encode, rate_for
from kling_batch.delivery.shape import shape_of
from kling_batch.disk import disk_border
from kling_batch.model import FileRecord, Shape

__all__ = ["Made", "MadeFile", "Unfinishable", "finish_sound", "read_sound", "tags_of"]

_DEFAULT_BITS = 16
_OFF_DB = 0.25
"""By so much an encoder may change the loudness, else the sound is encoded once more."""
_LITTLE_MORE_DB = 0.04
"""By how much more than its overshoot a lossy file is lowered: the next encoding is a little different."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeFile:
    """A finished file in `path`, and what is heard of it. The path of its record is its name alone."""

    path: Path
    record: FileRecord
    shape: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """The finished files of a sound, what a person may want to know of how they came out, and what the source was."""

    files: tuple[MadeFile, ...]
    notes: tuple[str, ...]
    before: Shape


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
    sounds: dict[int, Shaped] = {}
    notes: list[str] = []
    files = []
    for audio_format in recipe["formats"]:
        to = rate_for(audio_format, recipe, rate)
        if to not in sounds:
            sounds[to] = shaped(samples, rate, to, recipe, notes)
        data, shape = _written(sounds[to], audio_format, recipe, texts, notes)
        path = folder / f"{name}.{audio_format}"
        with disk_border(path):
            path.write_bytes(data)
        record = FileRecord(
            path=path.name,
            format=audio_format,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            duration_s=round(len(sounds[to].samples) / to, 3),
        )
        files.append(MadeFile(path=path, record=record, shape=replace(shape, start_s=sounds[to].start_s)))
    return Made(files=tuple(files), notes=tuple(dict.fromkeys(notes)), before=shape_of(samples, rate))


def _written(
    sound: Shaped, audio_format: str, recipe: Mapping[str, Any], tags: Mapping[str, str], notes: list[str]
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
        room = recipe.get("true_peak", math.inf) - decibels(shape.true_peak or SILENCE)
        lost = (sound.shape.loudness or 0.0) - (shape.loudness or sound.shape.loudness or 0.0)
        wanted = lost if first and "loudness" in recipe else 0.0
        held = held or room < wanted
        change = wanted if wanted <= room else room - _LITTLE_MORE_DB
        if room >= 0 and abs(change) <= _OFF_DB:
            break
        gain, first = gain + change, False
    quieter = lost if "loudness" in recipe else -gain
    if held and quieter > WORTH_SAYING_DB:
        notes.append(f"{audio_format}: quieter by {quieter:.1f} dB, since its encoder adds to the peaks")
    return data, shape
