"""Files as careless encoders write them: the sound is whole, and what stands round it is not as it should be."""

from __future__ import annotations

import io
import struct

from kling_batch.sandbox.clips import ClipSpec

WAV_HEADER = 44
"""Bytes before the samples of a plain WAV. The last four are the size of what follows."""
_UNSAID = b"\xff\xff\xff\xff"
_ID3V1_TAG = b"TAG".ljust(128, b"\0")
_DS64 = struct.Struct("<4sLQQQL")


def careless(data: bytes, spec: ClipSpec) -> bytes:
    """Rewrite what stands round a clip's sound, as its spec wants it."""
    if spec.audio_format == "mp3":
        return _MP3_HEADS[spec.mp3_head] + data
    if spec.audio_format == "mp4":
        return data
    match spec.wav_header:
        case "exact":
            return data
        case "stream-zero":
            return _with_sizes(data, bytes(4))
        case "stream-max":
            return _with_sizes(data, _UNSAID)
        case "tag-behind":
            return data + _ID3V1_TAG
        case "rf64":
            size, sound = len(data) + _DS64.size - 8, len(data) - WAV_HEADER
            sizes = _DS64.pack(b"ds64", _DS64.size - 8, size, sound, 0, 0)
            return _with_sizes(data, _UNSAID, magic=b"RF64", chunk=sizes)
        case "adpcm":
            return _packed(data)


def id3_tag(text: str) -> bytes:
    """Write a tag as it stands before many MP3 files: version 2.3, one frame with a private text."""
    content = b"kling-batch-sandbox\0" + text.encode()
    frame = b"PRIV" + len(content).to_bytes(4, "big") + b"\0\0" + content
    return b"ID3\x03\0\0" + bytes((0, 0, len(frame) >> 7, len(frame) & 0x7F)) + frame


_MP3_HEADS = {"exact": b"", "second-id3": id3_tag("one") + id3_tag("another"), "junk": bytes(1000)}


def _with_sizes(data: bytes, size: bytes, *, magic: bytes = b"RIFF", chunk: bytes = b"") -> bytes:
    """Replace both sizes of a plain WAV, and put a chunk in front of the others."""
    return magic + size + b"WAVE" + chunk + data[12 : WAV_HEADER - 4] + size + data[WAV_HEADER:]


def _packed(data: bytes) -> bytes:
    """Pack the samples. Their last block is filled up, so that the sound may end some milliseconds late."""
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="MS_ADPCM")
    return file.getvalue()
