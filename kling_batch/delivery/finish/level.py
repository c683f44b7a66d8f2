"""Step of `loudness`, `peak` and `true_peak`: how loud a sound is. There is no limiter: one gain is for all of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kling_batch.delivery.shape import BLOCK_S, shape_of
from kling_batch.model import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SILENCE = 1e-9
_WORTH_SAYING_DB = 0.1


def levelled(
    samples: NDArray[np.float32], rate: int, recipe: Mapping[str, Any]
) -> tuple[NDArray[np.float32], Shape, tuple[str, ...]]:
    """Bring a sound to the loudness (LUFS) or peak (dBFS) of a recipe, as far as its true peak (dBTP) lets it.

    Returns:
        The sound, what it looks like, and notes where its level is not simply what was asked for.
    """
    import numpy as np

    wanted = next((name for name in ("loudness", "peak", "true_peak") if name in recipe), None)
    peak = float(max(samples.max(), -samples.min()))
    if wanted is None or peak < _SILENCE:
        silent = () if wanted is None else (f"{wanted}: it is silent, so its level was left as it is",)
        return samples, shape_of(samples, rate), silent
    # Measured at full scale: there the gate at -70 LUFS leaves out nothing of a quiet sound that is to be louder.
    shape = shape_of(samples / np.float32(peak), rate)
    notes, gain = [], decibels(peak)
    if wanted == "peak":
        gain = recipe["peak"]
    elif wanted == "loudness" and shape.loudness is None:
        notes.append("loudness: nothing of it is loud enough to be measured, so its level was left as it is")
    elif wanted == "loudness" and shape.loudness is not None:
        gain = recipe["loudness"] - shape.loudness
        if len(samples) < BLOCK_S * rate:
            notes.append(f"loudness: it is shorter than {BLOCK_S} s, so it was levelled by its loudest moment")
    room = recipe.get("true_peak", math.inf) - decibels(shape.true_peak or 1.0)
    if gain - room > _WORTH_SAYING_DB and wanted != "true_peak":
        words = f"{recipe[wanted] + room - gain:.1f} {_UNITS[wanted]} and not {recipe[wanted]:g}"
        notes.append(f"{wanted}: {words}: louder, its true peak would be over {recipe['true_peak']:g} dBTP")
    factor = 10 ** (min(gain, room) / 20)
    return samples * np.float32(factor / peak), louder(shape, factor), tuple(notes)


_UNITS = {"loudness": "LUFS", "peak": "dBFS"}


def louder(shape: Shape, factor: float) -> Shape:
    """Say what a sound looks like once it is so many times as loud."""
    return replace(
        shape,
        peak=shape.peak * factor,
        true_peak=None if shape.true_peak is None else shape.true_peak * factor,
        loudness=None if shape.loudness is None else shape.loudness + decibels(factor),
    )


def decibels(ratio: float) -> float:
    """Give a ratio of amplitudes in decibels."""
    return 20 * math.log10(ratio)
