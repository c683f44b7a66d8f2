"""Step `loop`: the end of a sound runs into its start, so that it can be repeated without a seam."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def looped(samples: NDArray[np.float32], rate: int, *, crossfade: float) -> tuple[NDArray[np.float32], str | None]:
    """Take `crossfade` seconds from the end and fade them out over the start, which fades in, at equal power.

    What follows the new end is then what followed it in the sound. Gives a note where the crossfade is shortened to
    half of the sound.
    """
    import numpy as np

    length = min(round(crossfade * rate), len(samples) // 2)
    made = np.array(samples[: len(samples) - length])
    angle = np.arange(length, dtype=np.float32)[:, None] * np.float32(np.pi / 2 / max(1, length))
    made[:length] = samples[:length] * np.sin(angle) + samples[len(made) :] * np.cos(angle)
    if length == round(crossfade * rate):
        return made, None
    return made, f"loop: it lasts {len(samples) / rate:.3f} s, so its crossfade was shortened to half of that"
