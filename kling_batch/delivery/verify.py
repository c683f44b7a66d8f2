"""Whether a file is the sound that was paid for: what a decoder reads whole is, whatever its header says.

Soundfile is loaded with the first file, as is numpy. Besides, only the manifest asks it: for the length of a voice.
"""

from __future__ import annotations

import io
import os
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from kling_batch.catalog import formats
from kling_batch.delivery.mp3 import readable_mp3
from kling_batch.delivery.shape import shape_of
from kling_batch.delivery.video import read_video
from kling_batch.delivery.wav import readable_wav
from kling_batch.disk import disk_border
from kling_batch.model import Shape

if TYPE_CHECKING:
    import numpy as np
    import soundfile
    from numpy.typing import NDArray

_READABLE = {"wav": readable_wav, "mp3": readable_mp3}
"""Formats whose files are looked through before the decoder, which passes over what is wrong with them."""
_CONTAINERS = {"wav": {"WAV", "WAVEX", "RF64"}, "mp3": {"MP3", "MPEG"}, "opus": {"OGG"}}
"""How the decoder calls formats that it does not call as everybody does."""
_WAVS = (b"RIFF", b"RF64")
"""How files of the one format begin that is recognised by its bytes, where two may come."""
VIDEOS = {"mp4"}
"""Formats that another library reads, by the extra `video`."""
_LONGEST_VIDEO_S = 60.0
"""A longer one is not made [official pages]: what states more means something else by it, such as milliseconds."""
_VIDEO_OFF_S = 1.0
_SHORT = 0.6
"""Below this share of the length that was asked for, a sound may be cut."""

_WORTH_SAYING_S = 0.5
"""From here on a person wants to know of another length. Real ones differ: 5.041 for 5 seconds."""

_LOUDEST = 8.0
"""Times full scale. Decoded MP3 overshoots a little; damage inside a frame decodes to a thousand times."""

_BLOCK = 131_072
"""Samples, of all channels together, that are decoded at once."""
_MOST_SHAPED = 12_000_000
"""Samples, of all channels together, of a sound that is looked at: 30 seconds of the richest stereo."""
_SHAPED_RATES = range(1000, 400_000)
"""Samples a second of sounds that are looked at: with fewer a step of 100 ms is hardly a sample."""


def decoders() -> tuple[str, frozenset[str]]:
    """Name the decoding library's version, and which of the service's formats it reads.

    Raises:
        ImportError, OSError: The library is not there.
    """
    import soundfile

    there = set(soundfile.available_formats())
    return soundfile.__libsndfile_version__, frozenset(name for name in formats() if _containers(name) & there)


def _containers(audio_format: str) -> set[str]:
    return _CONTAINERS.get(audio_format, {audio_format.upper()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """The sound is whole. `peak` is its largest sample, 1.0 being full scale; silence is a sound.

    `shape` is what it looks like, where that was asked for. `warnings` read on after the name of the file.
    """

    duration_s: float
    sample_rate: int
    channels: int
    peak: float
    shape: Shape | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """The file can be decoded and may have been damaged on its way. The reason reads on after its name."""

    sound: Verified
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """The file cannot be decoded as what it shall be. The reason reads on after its name."""

    reason: str


Verdict = Verified | Suspect | Rejected


def verify_audio(
    path: Path,
    *,
    audio_format: str,
    requested_s: float | None,
    stated_s: float | None = None,
    also: Container[str] = (),
    with_shape: bool = False,
) -> Verdict:
    """Check a downloaded file. Blocks for some 15 ms for ten seconds of MP3: call it from a thread.

    Args:
        path: The file. Its name does not matter.
        audio_format: What it shall be, by the usual ending of its name.
        requested_s: The length in seconds that was asked for; None where none was.
        stated_s: The length in seconds that the service states for this very file, if it states one.
        also: Other formats in which the service may have made it.
        with_shape: Also find out what it looks like and how loud it is.

    Raises:
        DiskUnusable: The file cannot be read.
    """
    with disk_border(path):
        data = path.read_bytes()
    if audio_format in VIDEOS:
        return _verify_video(data, stated_s)
    named = audio_format
    if "wav" in also and data.startswith(_WAVS):
        audio_format = "wav"
    readable, damage = _READABLE.get(audio_format, _as_it_is)(data)
    decoded = _decode(path if readable is data else io.BytesIO(readable), audio_format, with_shape=with_shape)
    reasons = [] if damage is None else [damage]
    match decoded:
        case Rejected():
            return Rejected(reason=_other_words(data, audio_format) or decoded.reason)
        case Suspect(sound=sound, reason=reason):
            reasons.append(reason)
        case Verified():
            sound = decoded
        case _:
            assert_never(decoded)
    lasts = f"it lasts {sound.duration_s:.2f} s, and"
    if requested_s is not None and sound.duration_s < _SHORT * requested_s:
        reasons.append(f"{lasts} {requested_s:.2f} s were asked for")
    elif requested_s is not None and abs(sound.duration_s - requested_s) >= _WORTH_SAYING_S:
        sound = replace(sound, warnings=(f"{lasts} {requested_s:.2f} s were asked for",))
    elif stated_s and abs(sound.duration_s - stated_s) >= _WORTH_SAYING_S:
        sound = replace(
            sound, warnings=(f"the service states {stated_s:.2f} s, and it lasts {sound.duration_s:.2f} s",)
        )
    if audio_format != named:
        sound = replace(sound, warnings=(*sound.warnings, f"it is {audio_format.upper()}, and kept as it came"))
    return Suspect(sound=sound, reason="; ".join(reasons)) if reasons else sound


def _verify_video(data: bytes, stated_s: float | None) -> Verdict:
    """Check a video, whose sound has to be as long as its picture, and both as long as the service states."""
    footage = read_video(data)
    if isinstance(footage, str):
        return Rejected(reason=footage)
    if stated_s and stated_s <= _LONGEST_VIDEO_S and abs(footage.sound_s - stated_s) > _VIDEO_OFF_S:
        return Rejected(reason=f"it lasts {footage.sound_s:.2f} s, and the service states {stated_s:.2f} s")
    return Verified(
        duration_s=footage.sound_s, sample_rate=footage.sample_rate, channels=footage.channels, peak=footage.peak
    )


def _as_it_is(data: bytes) -> tuple[bytes, str | None]:
    return data, None


def _other_words(data: bytes, audio_format: str) -> str | None:
    """Recognise what a decoder has no words for."""
    if not data:
        return "the file is empty"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in {b"<", b"{", b"["}:
        kind = "a web page or XML" if head[:1] == b"<" else "JSON"
        return f"it is {kind}, not {audio_format.upper()}"
    return None


def _decode(file: Path | io.BytesIO, audio_format: str, *, with_shape: bool) -> Verdict:
    """Decode a file to its end."""
    import soundfile  # takes 0.15 s to load, with numpy

    try:
        # soundfile itself cannot encode a name that is no UTF-8
        with soundfile.SoundFile(os.fsencode(file) if isinstance(file, Path) and os.name != "nt" else file) as sound:
            if sound.format not in _containers(audio_format):
                return Rejected(reason=f"it is {sound.format}, not {audio_format.upper()}")
            return _read_through(sound, with_shape=with_shape)
    except soundfile.LibsndfileError as error:
        return Rejected(reason=f"it cannot be decoded: {error.error_string.rstrip('.')}")


def _read_through(sound: soundfile.SoundFile, *, with_shape: bool) -> Verdict:
    """Decode block by block into the same memory, so that a file that claims to last for hours costs none."""
    import numpy as np

    blocks: list[NDArray[np.float32]] = []
    with_shape = with_shape and _can_be_shaped(sound)
    memory = np.empty((max(1, min(_BLOCK // sound.channels, sound.frames)), sound.channels), np.float32)
    frames, peak, numbers = 0, 0.0, True
    while len(block := sound.read(len(memory), out=memory)):
        frames += len(block)
        if not np.isfinite(block).all():
            numbers = False
            np.nan_to_num(block, copy=False, posinf=0.0, neginf=0.0)
        peak = max(peak, float(block.max()), -float(block.min()))
        if with_shape:
            blocks.append(block.copy())
    if not frames:
        return Rejected(reason="there is no sound in it")
    found = Verified(
        duration_s=frames / sound.samplerate,
        sample_rate=sound.samplerate,
        channels=sound.channels,
        peak=peak,
        shape=shape_of(np.concatenate(blocks), sound.samplerate) if blocks else None,
    )
    if frames < sound.frames:
        words = f"the file is damaged: {frames} of {sound.frames} samples of each channel can be decoded"
        return Suspect(sound=found, reason=words)
    if not numbers:
        return Suspect(sound=found, reason="the file is damaged: it has samples that are no numbers")
    if peak > _LOUDEST:
        words = f"the file is damaged: it has samples {peak:.0f} times as loud as can be"
        return Suspect(sound=found, reason=words)
    return found


def _can_be_shaped(sound: soundfile.SoundFile) -> bool:
    return 0 < sound.frames * sound.channels <= _MOST_SHAPED and sound.samplerate in _SHAPED_RATES
