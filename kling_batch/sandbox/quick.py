"""Clips for simulations: real WAV and MP3 of the right length, each with its own bytes, at next to no cost."""

from __future__ import annotations

import hashlib
import io
from functools import cache

from kling_batch.sandbox.clips import ClipSpec

_WAV_HEADER = 44


def quick_clip(spec: ClipSpec) -> bytes:
    """Make a clip that differs from any other one in a few bytes, and not in its sound."""
    base = _tone(spec.duration_s, spec.audio_format, spec.sample_rate)
    mark = hashlib.blake2b(f"{spec.prompt}\n{spec.seed}".encode(), digest_size=16).digest()
    if spec.audio_format == "wav":
        return base[:_WAV_HEADER] + mark + base[_WAV_HEADER + len(mark) :]
    return _id3(mark.hex()) + base


@cache
def _tone(duration_s: float, audio_format: str, sample_rate: int) -> bytes:
    import numpy as np
    import soundfile

    time = np.arange(round(duration_s * sample_rate)) / sample_rate
    samples = (np.sin(time * 2 * np.pi * 440) * 8000).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=audio_format.upper())
    return file.getvalue()


def _id3(text: str) -> bytes:
    """Write a tag as it stands before many MP3 files: version 2.3, one frame with a private text."""
    content = b"kling-batch-sandbox\0" + text.encode()
    frame = b"PRIV" + len(content).to_bytes(4, "big") + b"\0\0" + content
    return b"ID3\x03\0\0" + bytes((0, 0, len(frame) >> 7, len(frame) & 0x7F)) + frame
