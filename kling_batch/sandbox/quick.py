"""Clips for simulations: real WAV and MP3 of the right length, each with its own bytes, at next to no cost."""

from __future__ import annotations

import hashlib
import io
from functools import cache

from kling_batch.sandbox.careless import WAV_HEADER, id3_tag
from kling_batch.sandbox.clips import ClipSpec


def quick_clip(spec: ClipSpec) -> bytes:
    """Make a clip that differs from any other one in a few bytes, and not in its sound."""
    base = _tone(spec.duration_s, spec.audio_format, spec.sample_rate)
    mark = hashlib.blake2b(f"{spec.prompt}\n{spec.seed}".encode(), digest_size=16).digest()
    if spec.audio_format == "wav":
        return base[:WAV_HEADER] + mark + base[WAV_HEADER + len(mark) :]
    return id3_tag(mark.hex()) + base


@cache
def _tone(duration_s: float, audio_format: str, sample_rate: int) -> bytes:
    import numpy as np
    import soundfile

    time = np.arange(round(duration_s * sample_rate)) / sample_rate
    samples = (np.sin(time * 2 * np.pi * 440) * 8000).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=audio_format.upper())
    return file.getvalue()
