"""Step `sample_rate`: how many samples a second a sound has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_batch.delivery.finish.reading import Unfinishable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def at_rate(samples: NDArray[np.float32], rate: int, to: int) -> NDArray[np.float32]:
    """Resample a sound, at 20 bits of precision ("HQ" of soxr).

    Raises:
        Unfinishable: The library for it is not there, or nothing would be left.
    """
    if rate == to:
        return samples
    try:
        import soxr
    except ImportError as error:
        raise Unfinishable(
            f"it has {rate} Hz, and to make {to} Hz of them takes the extra `finish`: pip install 'kling-batch[finish]'"
        ) from error
    made: NDArray[np.float32] = soxr.resample(samples, rate, to)
    if not len(made):
        raise Unfinishable(f"it is too short for {to} Hz")
    return made
