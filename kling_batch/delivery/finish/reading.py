"""Reads a source whole, or says why it cannot be finished."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from kling_batch.delivery.mp3 import readable_mp3
from kling_batch.delivery.wav import readable_wav
from kling_batch.disk import disk_border

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST = 60_000_000
"""Samples, of all channels together: ten minutes of stereo at 48 kHz."""
_RATES = range(1000, 400_000)
_LOUDEST = 1e6
"""Times full scale."""


class Unfinishable(Exception):
    """A sound cannot be finished. Its words read on after the sound's name."""


def read_sound(source: Path) -> tuple[NDArray[np.float32], int]:
    """Decode a file: a row a sample, a column a channel, 1.0 being full scale; and its sample rate. Blocks.

    Raises:
        Unfinishable: It is no sound, or one that no step could take.
        DiskUnusable: The file cannot be read.
    """
    with disk_border(source):
        data = source.read_bytes()
    readable = readable_wav if data.startswith((b"RIFF", b"RF64")) else readable_mp3
    return decode(readable(data)[0])


def decode(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Decode what is in memory; see `read_sound`."""
    import numpy as np
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            rate = sound.samplerate
            if sound.frames * sound.channels > _MOST:
                raise Unfinishable(f"it has more than {_MOST // 1_000_000} million samples")
            if rate not in _RATES:
                raise Unfinishable(f"it has {rate} samples a second")
            samples = sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise Unfinishable(f"it cannot be decoded: {error.error_string.rstrip('.')}") from error
    if not len(samples):
        raise Unfinishable("there is no sound in it")
    if not np.isfinite(samples).all():
        raise Unfinishable("it has samples that are no numbers")
    if max(samples.max(), -samples.min()) > _LOUDEST:
        raise Unfinishable("it has samples more than a million times as loud as full scale")
    return samples, rate
