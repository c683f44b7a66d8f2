"""Whether a WAV file is whole, told from its chunk sizes: a decoder reads what is there and does not miss the rest."""

from __future__ import annotations

_HEADER = 12
_CHUNK_HEADER = 8
_UNSAID = 0xFFFFFFFF
"""The size that an encoder leaves behind when it could not go back to fill it in."""


def wav_flaw(data: bytes) -> str | None:
    """Say what is wrong with a WAV file's structure, or None when its sound is all there."""
    if data[:4] != b"RIFF" or data[8:_HEADER] != b"WAVE":
        return "it does not begin like a WAV file"
    promised = int.from_bytes(data[4:8], "little")
    if promised != _UNSAID:
        missing = promised + _CHUNK_HEADER - len(data)
        if missing > 0:
            return f"the file is cut: it lacks {missing} of {promised + _CHUNK_HEADER} bytes"
        if missing < -1:  # one byte may pad it to an even size
            return f"the file is damaged: {-missing} bytes follow its end"
    return _sound_flaw(data)


def _sound_flaw(data: bytes) -> str | None:
    """Look for the chunk that holds the sound, and whether it ends within the file."""
    position = _HEADER
    while position + _CHUNK_HEADER <= len(data):
        name = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + _CHUNK_HEADER], "little")
        position += _CHUNK_HEADER
        if name == b"data":
            missing = 0 if size == _UNSAID else position + size - len(data)
            return f"the file is cut: its sound lacks {missing} of {size} bytes" if missing > 0 else None
        position += size + size % 2
    return "there is no sound in it"
