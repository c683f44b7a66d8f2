"""Sounds as a service may deliver them: real ones, made once a name, and the same ones with careless headers."""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache

import numpy as np
import soundfile

RATE = 8000


@lru_cache(maxsize=512)
def sound(name: str, kind: str = "wav", *, seconds: float = 3.0, subtype: str | None = None) -> bytes:
    """Make a tone that belongs to this name alone."""
    pitch_hz = 200 + zlib.crc32(name.encode()) % 2000
    at = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    wave = (0.3 * np.sin(2 * np.pi * pitch_hz * at)).astype(np.float32)
    written = io.BytesIO()
    soundfile.write(written, wave, RATE, format=kind.upper(), subtype=subtype)
    return written.getvalue()


def streamed(wav: bytes, size: int) -> bytes:
    """Give a WAV the sizes that a stream's header has, whose end its writer did not know."""
    data = wav.index(b"data")
    sized = struct.pack("<I", size)
    return wav[:4] + sized + wav[8 : data + 4] + sized + wav[data + 8 :]


def tagged(wav: bytes) -> bytes:
    """Put a tag behind a WAV's end, outside of what its header counts."""
    return wav + b"TAG" + b"made by a careless encoder".ljust(125, b"\0")


def id3(mp3: bytes, count: int = 1) -> bytes:
    """Put ID3 tags before an MP3's first frame."""
    body = b"TSSE\0\0\0\x08\0\0\0careless"[:18].ljust(32, b"\0")
    return (b"ID3\x04\0\0" + bytes([0, 0, 0, len(body)]) + body) * count + mp3


def spoilt(mp3: bytes) -> bytes:
    """Damage an MP3 inside of its frames, whose headers stay as they are: a decoder remarks upon it."""
    data = bytearray(mp3)
    for position in range(2000, len(data), 97):
        if position - data.rfind(mp3[:2], 0, position + 4) > 5:
            data[position] ^= 0x15
    return bytes(data)


def duration_s(data: bytes) -> float:
    """Tell how long a sound is, by the decoder."""
    return float(soundfile.info(io.BytesIO(data)).duration)
