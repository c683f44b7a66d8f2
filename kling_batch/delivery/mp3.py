"""Whether an MP3 file is whole, told from its frame headers alone.

A decoder is no judge of that: it leaves out a cut frame in silence, skips damage to the next header that looks
right, and says so on the terminal. So every frame is walked from header to header before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_KBIT_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG_1 = 3
_LAYER_3 = 1
_MONO = 3
_HEADER = 4
_SYNC = 0xFFE0
_ID3V1 = 128
_ID3V2_HEADER = 10
_APE_HEADER = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """A frame header. `size` is in bytes, with the header; `side` is where a count may stand in the frame."""

    size: int
    side: int


def mp3_flaw(data: bytes) -> str | None:
    """Say what is wrong with an MP3 file's structure, or None when every frame of it is whole."""
    start, end = _tag_before(data), _end_of_frames(data)
    position, frames, promised = start, 0, None
    while position < end:
        frame = _frame(data[position : position + _HEADER])
        if frame is None:
            return _no_frame(data, position, end, frames)
        if position + frame.size > end:
            return f"the file is cut: its last frame lacks {position + frame.size - end} bytes"
        if frames == 0:
            promised = _promised(data[position : position + frame.size], frame.side)
        frames += 1
        position += frame.size
    if frames == 0:
        return "there is no sound in it"
    counted = frames if promised is None else frames - 1
    if promised is not None and promised not in {counted, frames}:
        return f"the file is not whole: it should have {promised} frames and has {counted}"
    return None


def _no_frame(data: bytes, position: int, end: int, frames: int) -> str | None:
    """Judge what stands where a frame should: zeros up to the end are padding."""
    if frames == 0:
        return "it does not begin like an MP3 file"
    if not data[position:end].strip(b"\0"):
        return None
    return f"the file is damaged: at byte {position} a frame should begin and does not"


@lru_cache(maxsize=1024)
def _frame(header: bytes) -> _Frame | None:
    """Read a frame's header; None when it is none of MPEG layer III with a stated bit rate. Few headers differ."""
    if len(header) < _HEADER or int.from_bytes(header[:2]) & _SYNC != _SYNC:
        return None
    version, layer, protected = header[1] >> 3 & 3, header[1] >> 1 & 3, not header[1] & 1
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    rates = _RATES.get(version)
    if rates is None or layer != _LAYER_3 or not 0 < bit_rate < len(_KBIT_1) or rate >= len(rates):
        return None
    first = version == _MPEG_1
    kbit, slots = (_KBIT_1, 144) if first else (_KBIT_2, 72)
    mono = header[3] >> 6 == _MONO
    return _Frame(
        size=slots * kbit[bit_rate] * 1000 // rates[rate] + (header[2] >> 1 & 1),
        side=_HEADER + 2 * protected + ((17 if mono else 32) if first else (9 if mono else 17)),
    )


def _promised(frame: bytes, side: int) -> int | None:
    """Read how many frames the encoder wrote, from the `Xing` or `Info` frame; None when it did not say."""
    if frame[side : side + 4] not in {b"Xing", b"Info"}:
        return None
    has_frames = int.from_bytes(frame[side + 4 : side + 8]) & 1
    return int.from_bytes(frame[side + 8 : side + 12]) if has_frames else None


def _tag_before(data: bytes) -> int:
    """Say where the frames begin: after an ID3v2 tag, if there is one."""
    if not data.startswith(b"ID3") or len(data) < _ID3V2_HEADER:
        return 0
    size = 0
    for byte in data[6:_ID3V2_HEADER]:
        size = size << 7 | byte & 0x7F
    has_footer = data[5] & 0x10
    return _ID3V2_HEADER + size + (_ID3V2_HEADER if has_footer else 0)


def _end_of_frames(data: bytes) -> int:
    """Say where the frames end: before an ID3v1 and an APEv2 tag, if there are any."""
    end = len(data)
    if data[-_ID3V1 : -_ID3V1 + 3] == b"TAG":
        end -= _ID3V1
    footer = data[max(0, end - _APE_HEADER) : end]
    if footer.startswith(b"APETAGEX"):
        has_header = footer[23] & 0x80
        end -= int.from_bytes(footer[12:16], "little") + (_APE_HEADER if has_header else 0)
    return end
