"""Step `channels`: how many channels a sound has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_batch.delivery.finish.reading import Unfinishable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def with_channels(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Give a sound so many channels: one is the mean of all, two from one are both the same.

    Raises:
        Unfinishable: Two are wanted of more, and nobody says which of those are left and right.
    """
    import numpy as np

    there = samples.shape[1]
    if there == count:
        return samples
    if count == 1:
        mean: NDArray[np.float32] = samples.mean(axis=1, keepdims=True)
        return mean
    if there == 1:
        return np.repeat(samples, count, axis=1)
    raise Unfinishable(f"it has {there} channels, of which `channels: {count}` cannot be made; `channels: 1` can")
