"""What a decoder is to be given of an MP3 file, and whether the file is damaged: told from its frame headers alone.

A decoder is no judge of that: it leaves out a cut frame in silence, and skips damage to the next header that looks
right. Nor does libsndfile read every sound whole: it goes no further than the count of frames in the `Xing` frame, or
than it guesses from the first frame where there is none, and opens nothing with junk before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_KBIT_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG_1 = 3
_LAYER_3 = 1
_MONO = 3
_HEADER = 4
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_ID3_HEADER = 10
_COUNT_FOLLOWS = b"\0\0\0\1"
_ROOMY = 0x90
"""80 kbit/s or more, as a header has it."""
_ROW = 3
"""So many frames in a row are no accident."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """A frame header. `size` is in bytes, with the header; `side` is where a count may stand in the frame."""

    size: int
    side: int


def readable_mp3(data: bytes) -> tuple[bytes, str | None]:
    """Give what a decoder can read whole, and what looks like damage: the whole frames, with their true count.

    What follows the last frame is none of the sound: tags, padding, or what a proxy added.
    """
    tags = _after_tags(data)
    start = _next_frame(data, tags)
    if start is None:
        return data, None  # not of layer III, or no MP3 at all: the decoder says which
    frames, flaw = _walk(data, start)
    if data[tags:start].strip(b"\0"):
        flaw = flaw or f"the file is damaged: {start - tags} bytes stand before its first frame"
    promised = _promised(frames[0])
    sounds = frames if promised is None else frames[1:]
    if promised is not None and promised > len(frames):
        flaw = flaw or f"the file is not whole: it should have {promised} frames and has {len(sounds)}"
    if flaw is None and start == tags and data[0] and promised == len(sounds):
        return data, None
    return b"".join([_count_frame(frames[0][:_HEADER], len(sounds)), *sounds]), flaw


def _promised(frame: bytes) -> int | None:
    """Read how many frames the encoder says that it wrote, in a `Xing` or `Info` frame; None in any other."""
    side = _at(frame).side
    if frame[side : side + 4] not in {b"Xing", b"Info"}:
        return None
    has_count = frame[side + 7] & 1
    return int.from_bytes(frame[side + 8 : side + 12]) if has_count else 0


def _count_frame(like: bytes, count: int) -> bytes:
    """Make a `Xing` frame for frames with a header like this one. At its bit rate the count has room in any frame."""
    header = bytes([like[0], like[1], like[2] & 0x0F | _ROOMY, like[3]])
    frame = _at(header)
    said = header + bytes(frame.side - _HEADER) + b"Xing" + _COUNT_FOLLOWS + count.to_bytes(4)
    return said.ljust(frame.size, b"\0")


def _walk(data: bytes, start: int) -> tuple[list[bytes], str | None]:
    """Collect the whole frames, from header to header, and say where one is missing or cut."""
    frames: list[bytes] = []
    flaw = None
    position: int | None = start
    while position is not None and position < len(data):
        frame = _frame(data[position : position + _HEADER])
        if frame is None:
            found = _next_frame(data, position)
            if found is not None:
                flaw = flaw or f"the file is damaged: at byte {position} a frame should begin and does not"
            position = found
        elif position + frame.size > len(data):
            lacking = position + frame.size - len(data)
            return frames, flaw or f"the file is cut: its last frame lacks {lacking} bytes"
        else:
            frames.append(data[position : position + frame.size])
            position += frame.size
    return frames, flaw


def _next_frame(data: bytes, position: int) -> int | None:
    """Find the next frame that others of its kind, or the end, follow: a few bytes of anything look like a header."""
    starts = (found.start() for found in _SYNC.finditer(data, position))
    return next((start for start in starts if _begins_a_row(data, start)), None)


def _begins_a_row(data: bytes, start: int) -> bool:
    position = start
    for _ in range(_ROW):
        frame = _frame(data[position : position + _HEADER])
        if frame is None or data[position : position + 2] != data[start : start + 2]:
            return False
        position += frame.size
        if position == len(data):
            return True
    return True


def _at(data: bytes) -> _Frame:
    """Read the header of what is known to be a frame."""
    frame = _frame(data[:_HEADER])
    assert frame is not None  # noqa: S101 - it was read before
    return frame


@lru_cache(maxsize=1024)
def _frame(header: bytes) -> _Frame | None:
    """Read a frame's header; None when it is none of MPEG layer III with a stated bit rate. Few headers differ."""
    if _SYNC.match(header) is None or len(header) < _HEADER:
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


def _after_tags(data: bytes) -> int:
    """Say where the ID3v2 tags end; there may be several, and padding before them."""
    position = len(data) - len(data.lstrip(b"\0"))
    while data[position : position + 3] == b"ID3" and len(data) - position >= _ID3_HEADER:
        size = 0
        for byte in data[position + 6 : position + _ID3_HEADER]:
            size = size << 7 | byte & 0x7F
        has_footer = data[position + 5] & 0x10
        position += _ID3_HEADER + size + (_ID3_HEADER if has_footer else 0)
    return position
