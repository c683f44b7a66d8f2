"""Step `fade`: a sound begins and ends at nothing, without a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def faded(
    samples: NDArray[np.float32], rate: int, *, start: float, end: float
) -> tuple[NDArray[np.float32], str | None]:
    """Fade in over `start` seconds and out over `end`, along half a cosine. Gives a note where they are shortened."""
    import numpy as np

    fits = min(1.0, len(samples) / rate / ((start + end) or 1.0))
    made = np.array(samples)
    for seconds, way in ((start, made), (end, made[::-1])):
        length = int(seconds * fits * rate)
        curve = 0.5 - 0.5 * np.cos(np.arange(length, dtype=np.float32) * np.float32(np.pi / max(1, length)))
        way[:length] *= curve[:, None]
    lasts = f"fade: it lasts {len(samples) / rate:.3f} s, so its fades were shortened to {fits * 100:.0f} %"
    return made, lasts if fits < 1 else None
