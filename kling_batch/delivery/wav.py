"""What a decoder is to be given of a WAV file, and whether the file looks cut: told from its chunk sizes."""

from __future__ import annotations

_HEADER = 12
_CHUNK_HEADER = 8
_LEAST_UNSAID = 0x7F000000
"""From here on a size is what an encoder leaves behind that wrote into a pipe, and none that was counted."""


def readable_wav(data: bytes) -> tuple[bytes, str | None]:
    """Give what a decoder can read whole, and what looks like damage.

    A decoder takes a data size of 0 at its word, and RF64 for as long as it says: both get the size that is there.
    """
    position = _HEADER if data[:4] in {b"RIFF", b"RF64"} else len(data)
    while position + _CHUNK_HEADER <= len(data):
        body = position + _CHUNK_HEADER
        size, there = int.from_bytes(data[position + 4 : body], "little"), len(data) - body
        if data[position : position + 4] != b"data":
            position = body + size + size % 2
        elif size == 0 or size >= _LEAST_UNSAID:
            return b"RIFF" + data[4 : position + 4] + there.to_bytes(4, "little") + data[body:], None
        elif size > there:
            return data, f"the file is cut: its sound lacks {size - there} of {size} bytes"
        else:
            break
    return data, None
