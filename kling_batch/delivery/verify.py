"""Whether a file is the sound that was paid for: of the right format, whole, decodable, and as long as it should be.

Soundfile is used here alone, and loaded with the first file, as is numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kling_batch.delivery.mp3 import mp3_flaw
from kling_batch.delivery.quiet import quiet_decoder
from kling_batch.delivery.shape import Shaping
from kling_batch.delivery.wav import wav_flaw
from kling_batch.disk import disk_border
from kling_batch.model import Shape

if TYPE_CHECKING:
    import soundfile

_STRUCTURE = {"wav": wav_flaw, "mp3": mp3_flaw}
_CONTAINERS = {"wav": {"WAV", "WAVEX"}, "mp3": {"MP3", "MPEG"}}
_TOLERANCE_S = {"wav": 0.05, "mp3": 0.15}
"""How far the decoded length may be from the service's own figure. MP3 comes in frames and is padded."""

_FROM_SERVICE_S = 1.0
"""How far the service's own figure may be from the request. Real ones differ: 5.041 for 5 seconds."""

_FROM_REQUEST_S = 0.5
"""How far the decoded length may be from the request when the service gave no figure."""

_LOUDEST = 8.0
"""Times full scale. Decoded MP3 overshoots a little; damage inside a frame decodes to a thousand times."""

_MOST_CHANNELS = 8
_BLOCK = 65536
_LONGEST_SHAPED_S = 30
_SHAPED_RATES = range(1000, 400_000)
"""Samples a second of sounds that are looked at: with others a step of 100 ms is hardly a sample, or a gigabyte."""


def decoders() -> tuple[str, frozenset[str]]:
    """Name the decoding library's version, and which of the service's formats it reads.

    Raises:
        ImportError, OSError: The library is not there.
    """
    import soundfile

    there = set(soundfile.available_formats())
    return soundfile.__libsndfile_version__, frozenset(name for name, kinds in _CONTAINERS.items() if kinds & there)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """The sound is whole. `peak` is its largest sample, 1.0 being full scale; silence is a sound.

    `shape` is what it looks like, where that was asked for.
    """

    duration_s: float
    sample_rate: int
    channels: int
    peak: float
    shape: Shape | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """The file is not the sound that was asked for. The reason reads on after "the file is no good: "."""

    reason: str


def verify_audio(
    path: Path, *, audio_format: str, expected_s: float | None, requested_s: float, with_shape: bool = False
) -> Verified | Rejected:
    """Check a downloaded file. Blocks for some 15 ms for ten seconds of MP3: call it from a thread.

    Args:
        path: The file. Its name does not matter.
        audio_format: What it shall be: `wav` or `mp3`.
        expected_s: The length in seconds that the service states for this very file, if it states one.
        requested_s: The length in seconds that was asked for.
        with_shape: Also find out what it looks like and how loud it is.

    Raises:
        DiskUnusable: The file cannot be read.
    """
    with disk_border(path):
        data = path.read_bytes()
    flaw = _other_format(data, audio_format) or _STRUCTURE[audio_format](data)
    if flaw is not None:
        return Rejected(reason=flaw)
    decoded = _decode(path, audio_format, with_shape=with_shape)
    if isinstance(decoded, Rejected):
        return decoded
    flaw = length_flaw(decoded.duration_s, audio_format=audio_format, expected_s=expected_s, requested_s=requested_s)
    return decoded if flaw is None else Rejected(reason=flaw)


def length_flaw(duration_s: float, *, audio_format: str, expected_s: float | None, requested_s: float) -> str | None:
    """Say what is wrong with a sound's length, or None. The service's own figure wins over the request."""
    if expected_s is None or not math.isfinite(expected_s):
        wanted_s, tolerance_s, whose = requested_s, _FROM_REQUEST_S, "were asked for"
    elif abs(expected_s - requested_s) > _FROM_SERVICE_S:
        return f"the service made {expected_s:.2f} s where {requested_s:.2f} s were asked for"
    else:
        wanted_s, tolerance_s, whose = expected_s, _TOLERANCE_S[audio_format], "are what the service states"
    if abs(duration_s - wanted_s) > tolerance_s:
        return f"its length is wrong: it lasts {duration_s:.2f} s, and {wanted_s:.2f} s {whose}"
    return None


def _other_format(data: bytes, audio_format: str) -> str | None:
    """Recognise from its first bytes what is not of this format at all."""
    if not data:
        return "the file is empty"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in {b"<", b"{", b"["}:
        kind = "a web page or XML" if head[:1] == b"<" else "JSON"
        return f"it is {kind}, not {audio_format.upper()}"
    is_wav = data[:4] == b"RIFF" and data[8:12] == b"WAVE"
    if is_wav and audio_format != "wav":
        return f"it is WAV, not {audio_format.upper()}"
    if audio_format == "wav" and not is_wav and mp3_flaw(data) is None:
        return "it is MP3, not WAV"
    return None


def _decode(path: Path, audio_format: str, *, with_shape: bool) -> Verified | Rejected:
    """Decode a file to its end."""
    import soundfile  # takes 0.15 s to load, with numpy

    try:
        with quiet_decoder(), soundfile.SoundFile(path) as sound:
            return _read_through(sound, audio_format, with_shape=with_shape)
    except soundfile.LibsndfileError as error:
        return Rejected(reason=f"it cannot be decoded: {error.error_string}")


def _read_through(sound: soundfile.SoundFile, audio_format: str, *, with_shape: bool) -> Verified | Rejected:
    """Decode block by block into the same memory, so that a file that claims to last for hours costs none."""
    import numpy as np

    if sound.format not in _CONTAINERS[audio_format]:
        return Rejected(reason=f"it is {sound.format}, not {audio_format.upper()}")
    if sound.channels > _MOST_CHANNELS:
        return Rejected(reason=f"it has {sound.channels} channels, and no sound of the service has that many")
    frames, peak = 0, 0.0
    short = 0 < sound.frames <= _LONGEST_SHAPED_S * sound.samplerate
    seen = with_shape and short and sound.samplerate in _SHAPED_RATES
    shaping = Shaping(sound.samplerate, sound.channels, sound.frames) if seen else None
    size = max(1, min(_BLOCK, sound.frames))
    for block in sound.blocks(out=np.empty((size, sound.channels), np.float32)):
        frames += len(block)
        highest, lowest = float(block.max()), float(block.min())
        if not (math.isfinite(highest) and math.isfinite(lowest)):
            return Rejected(reason="the file is damaged: it has samples that are no numbers")
        peak = max(peak, highest, -lowest)
        if shaping is not None:
            shaping.feed(block)
    if frames != sound.frames:
        return Rejected(
            reason=f"the file is damaged: {frames} of {sound.frames} samples of each channel can be decoded"
        )
    if peak > _LOUDEST:
        return Rejected(reason=f"the file is damaged: it has samples {peak:.0f} times as loud as can be")
    return Verified(
        duration_s=frames / sound.samplerate,
        sample_rate=sound.samplerate,
        channels=sound.channels,
        peak=peak,
        shape=None if shaping is None else shaping.shape(),
    )
