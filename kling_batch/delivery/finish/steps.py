"""The steps that shape a sound: each is a function of a sound and its parameters.

They stand in the order in which they are taken. The level comes last; there is no limiter: one gain is for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kling_batch.delivery.finish.reading import Unfinishable
from kling_batch.delivery.shape import BLOCK_S, shape_of
from kling_batch.model import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SILENCE = 1e-9
WORTH_SAYING_DB = 0.1
_UNITS = {"loudness": "LUFS", "peak": "dBFS"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shaped:
    """A sound that has been through the steps; it begins `start_s` seconds into its source."""

    samples: NDArray[np.float32]
    rate: int
    shape: Shape
    start_s: float


def shaped(samples: NDArray[np.float32], rate: int, to: int, recipe: Mapping[str, Any], notes: list[str]) -> Shaped:
    """Take every step but the writing. The rate comes first: a loop that is resampled would get a seam."""
    if "channels" in recipe:
        samples = with_channels(samples, recipe["channels"])
    samples = at_rate(samples, rate, to)
    start = 0
    if "trim" in recipe:
        samples, start, note = trimmed(samples, to, **recipe["trim"])
        notes += [note] if note else []
    if "loop" in recipe:
        samples, note = looped(samples, to, **recipe["loop"])
        notes += [note] if note else []
    elif "fade" in recipe:
        samples, note = faded(samples, to, start=recipe["fade"]["in"], end=recipe["fade"]["out"])
        notes += [note] if note else []
    samples, shape, more = levelled(samples, to, recipe)
    notes += more
    return Shaped(samples=samples, rate=to, shape=shape, start_s=start / to)


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
    if wanted is None or peak < SILENCE:
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
    if gain - room > WORTH_SAYING_DB and wanted != "true_peak":
        words = f"{recipe[wanted] + room - gain:.1f} {_UNITS[wanted]} and not {recipe[wanted]:g}"
        notes.append(f"{wanted}: {words}: louder, its true peak would be over {recipe['true_peak']:g} dBTP")
    factor = 10 ** (min(gain, room) / 20)
    return samples * np.float32(factor / peak), louder(shape, factor), tuple(notes)


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
