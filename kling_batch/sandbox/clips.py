"""Sounds on demand: what a clip is made of, its file, and a small memory of the ones made last."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kling_batch.sandbox.settings import Mp3Head, WavHeader

MOST_BYTES = 48 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSpec:
    """Everything that decides a clip's bytes. `seed` makes two takes of one prompt differ."""

    prompt: str
    duration_s: float
    audio_format: str
    seed: str
    sample_rate: int
    wav_header: WavHeader = "exact"
    mp3_head: Mp3Head = "exact"


def encoded(samples: Any, spec: ClipSpec) -> bytes:
    """Write a clip's samples as the file that its spec wants. They are floats: its MP3 of integers is noise."""
    import soundfile

    file = io.BytesIO()
    quality = {"compression_level": 0.0} if spec.audio_format == "mp3" else {}
    soundfile.write(file, samples, spec.sample_rate, format=spec.audio_format.upper(), **quality)
    return file.getvalue()


Synth = Callable[[ClipSpec], bytes]
"""Makes a clip's file, without any carelessness. Is called from worker threads; the same spec gives the same bytes."""


class ClipCache:
    """Makes clips and remembers the last of them, up to a number of bytes. May be used from several threads."""

    def __init__(self, synth: Synth, *, most_bytes: int = MOST_BYTES) -> None:
        self._synth = synth
        self._most_bytes = most_bytes
        self._bytes = 0
        self._clips: OrderedDict[ClipSpec, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, spec: ClipSpec) -> bytes:
        """Hand over a clip's file, made now if need be."""
        with self._lock:
            if spec in self._clips:
                self._clips.move_to_end(spec)
                return self._clips[spec]
        data = self._synth(spec)
        with self._lock:
            if spec not in self._clips:
                self._clips[spec] = data
                self._bytes += len(data)
            while self._bytes > self._most_bytes and len(self._clips) > 1:
                _, dropped = self._clips.popitem(last=False)
                self._bytes -= len(dropped)
        return data
