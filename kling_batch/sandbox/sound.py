"""Sounds from words."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import soundfile

from kling_batch.sandbox.clips import ClipSpec

_FORMATS = {"wav": ("WAV", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III")}


def synthesise(spec: ClipSpec) -> bytes:
    """Make a clip's file."""
    frames = round(spec.duration_s * spec.sample_rate)
    digest = hashlib.sha256(f"{spec.prompt}\n{spec.seed}".encode()).digest()
    noise = np.random.default_rng(list(digest)).standard_normal(frames) * 3000
    container, subtype = _FORMATS[spec.audio_format]
    file = io.BytesIO()
    soundfile.write(file, noise.astype(np.int16), spec.sample_rate, format=container, subtype=subtype)
    return file.getvalue()
