"""Step `trim`: silence is cut from both ends of a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def heard(samples: NDArray[np.float32], below: float) -> slice:
    """Say from where to where a sound is louder than so many dBFS, in any channel: an empty slice where it never is."""
    import numpy as np

    least = 10 ** (below / 20)
    loud = np.flatnonzero((np.abs(samples) > least).any(axis=1))
    return slice(int(loud[0]), int(loud[-1]) + 1) if len(loud) else slice(0, 0)


def trimmed(
    samples: NDArray[np.float32], rate: int, *, below: float, keep: float
) -> tuple[NDArray[np.float32], int, str | None]:
    """Cut from both ends what is not louder than `below` dBFS, but for `keep` seconds.

    Gives how many samples were cut from the start as well, and a note where nothing is louder.
    """
    part = heard(samples, below)
    if part.stop == 0:
        return samples, 0, f"trim: nothing in it is louder than {below:g} dBFS, so nothing was cut"
    more = round(keep * rate)
    start = max(0, part.start - more)
    return samples[start : part.stop + more], start, None
