"""Writes a finished sound in a format, so that the same sound gives the same bytes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kling_batch.catalog.finish import RATES
from kling_batch.delivery.finish.reading import Unfinishable
from kling_batch.delivery.finish.tags import id3

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SUBTYPES = {"ogg": "VORBIS", "opus": "OPUS", "mp3": "MPEG_LAYER_III"}
LOSSY = frozenset(_SUBTYPES)
_BITS = {16: "PCM_16", 24: "PCM_24", "float": "FLOAT"}
_COMPRESSION = {"ogg": 0.4, "mp3": 0.0}
"""Of 0 to 1: some 190 and 245 kbit/s of stereo, at variable rates; the other formats have their encoder's default."""
_USUAL_RATE = 48_000
_BLOCK = 65_536
"""Samples that are encoded at once: for long blocks the encoder of Vorbis takes its memory from the stack."""
_ID3_IN = {"mp3", "aiff"}
_OGG_HEADER = 27
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def rate_for(audio_format: str, recipe: Mapping[str, Any], rate: int) -> int:
    """Say how many samples a second a file gets: what the recipe says, else the source's if the format can have it."""
    wanted: int = recipe.get("sample_rate", rate)
    return wanted if wanted in RATES.get(audio_format, (wanted,)) else _USUAL_RATE


def encode(
    samples: NDArray[np.float32], rate: int, audio_format: str, bits: int | str, tags: Mapping[str, str]
) -> bytes:
    """Write a sound as a file in memory.

    Args:
        samples: The sound.
        rate: Samples a second.
        audio_format: wav, flac, ogg, opus, mp3 or aiff.
        bits: Of wav, aiff and flac: 16, 24 or `float`, which flac has as 24.
        tags: Text to write; see `tags.FIELDS`.

    Raises:
        Unfinishable: The format cannot hold such a sound.
    """
    import soundfile

    subtype = _SUBTYPES.get(audio_format) or _BITS[24 if (audio_format, bits) == ("flac", "float") else bits]
    file = io.BytesIO()
    try:
        with soundfile.SoundFile(
            file,
            "w",
            rate,
            samples.shape[1],
            subtype,
            format="OGG" if audio_format == "opus" else audio_format.upper(),
            compression_level=_COMPRESSION.get(audio_format),
        ) as sound:
            for name, text in {} if audio_format in _ID3_IN else tags.items():
                setattr(sound, name, text)
            for first in range(0, len(samples), _BLOCK):
                sound.write(samples[first : first + _BLOCK])
    except soundfile.LibsndfileError as error:
        what = f"{samples.shape[1]} channels at {rate} Hz"
        raise Unfinishable(f"{audio_format} cannot hold {what}: {error.error_string.rstrip('.')}") from error
    data = bytearray(file.getvalue())
    match audio_format:
        case "ogg" | "opus":
            _fix_serial(data)
        case "mp3":
            data[:0] = id3(tags)
        case "aiff":
            _add_id3(data, id3(tags))
    if subtype == "FLOAT":
        peak = data.index(b"PEAK")  # a chunk with the time of day, before all text
        data[peak + 12 : peak + 16] = bytes(4)
    return bytes(data)


def _fix_serial(data: bytearray) -> None:
    """Give an Ogg stream the serial number 0 in place of a random one, and each of its pages its check sum."""
    page = 0
    while page < len(data):
        segments = data[page + _OGG_HEADER - 1]
        body = page + _OGG_HEADER + segments
        end = body + sum(data[page + _OGG_HEADER : body])
        data[page + 14 : page + 18] = data[page + 22 : page + 26] = bytes(4)
        data[page + 22 : page + 26] = _ogg_crc(data[page:end]).to_bytes(4, "little")
        page = end


def _ogg_crc(page: bytes | bytearray) -> int:
    """Work out the check sum of Ogg: zlib's, with the bits of all bytes mirrored, and without its complements."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _add_id3(data: bytearray, tag: bytes) -> None:
    """Append tags to an AIFF file, as a chunk of their own: libsndfile writes but few of them there."""
    if tag:
        data += b"ID3 " + len(tag).to_bytes(4) + tag + bytes(len(tag) % 2)
        data[4:8] = (len(data) - 8).to_bytes(4)
