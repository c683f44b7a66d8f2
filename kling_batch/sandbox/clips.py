"""Sounds on demand: what a clip is made of, and its file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kling_batch.sandbox.settings import Mp3Head, WavHeader
from kling_batch.sandbox.video import muxed


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSpec:
    """Everything that decides a clip's bytes. With a `voice` the prompt is spoken; `seed` makes two takes differ."""

    prompt: str
    duration_s: float
    voice: str = ""
    audio_format: str
    seed: str
    sample_rate: int
    wav_header: WavHeader = "exact"
    mp3_head: Mp3Head = "exact"
    mp4_sound: bool = True


def encoded(samples: Any, spec: ClipSpec) -> bytes:
    """Write a clip's samples as the file that its spec wants. They are floats: its MP3 of integers is noise."""
    if spec.audio_format == "mp4":
        return muxed(samples, spec.sample_rate, sound=spec.mp4_sound)
    import soundfile

    file = io.BytesIO()
    quality = {"compression_level": 0.0} if spec.audio_format == "mp3" else {}
    soundfile.write(file, samples, spec.sample_rate, format=spec.audio_format.upper(), **quality)
    return file.getvalue()


def spoken_s(text: str) -> float:
    """Say how many seconds a text takes at the usual speed."""
    return 0.4 + sum(0.07 if letter.isascii() else 0.2 for letter in text)


def sound_s(data: bytes) -> float | None:
    """Say how long a sound is; None for what is none."""
    import soundfile

    try:
        return float(soundfile.info(io.BytesIO(data)).duration)
    except soundfile.SoundFileError:
        return None


Synth = Callable[[ClipSpec], bytes]
"""Makes a clip's file, without any carelessness. Is called from worker threads; the same spec gives the same bytes."""
