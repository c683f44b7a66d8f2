"""What a sound looks like and how loud it is, for people who choose between takes: peak, loudness and a waveform.

Loudness is the integrated loudness of ITU-R BS.1770-4, in LUFS: K-weighted, in blocks of 400 ms that start every
100 ms, gated at -70 LUFS and then at 10 LU under the mean. The weighting is done to the power spectrum of windowed
frames of 100 ms, not sample by sample, which needs one transform a frame and no other library than numpy. Every channel
counts alike, as the standard has it for mono and stereo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from kling_batch.model import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUCKETS = 120
"""Columns of a waveform."""

_STEP_S = 0.1
_STEPS_A_BLOCK = 4
_TAPER_S = 0.008
"""How long a frame fades in and out, at least."""

_DRIFT = 24
"""Parts of a frame's spectrum, from the lowest, that are rid of its mean: an offset, not heard, leaks there."""

_OFFSET = -0.691
_GATE = -70.0
_RELATIVE_GATE = -10.0


def shape_of(samples: NDArray[np.float32], rate: int) -> Shape:
    """Look at a whole sound. Takes some 1.6 ms for five seconds of stereo.

    Args:
        samples: A row a sample, a column a channel; 1.0 is full scale.
        rate: Samples a second.
    """
    waveform, peak = _waveform(samples)
    return Shape(peak=peak, loudness=_loudness(_step_powers(samples, rate)), waveform=waveform)


def _waveform(samples: NDArray[np.float32]) -> tuple[bytes, float]:
    """Draw the largest sample of each bucket, as a byte, 255 being the largest of all; and give that one."""
    import numpy as np

    starts = np.arange(BUCKETS) * len(samples) // BUCKETS * samples.shape[1]
    highest = np.maximum.reduceat(np.abs(samples.ravel()), starts)
    peak = float(highest.max())
    if peak == 0:
        return bytes(BUCKETS), 0.0
    return np.ceil(highest * (255 / peak)).clip(0, 255).astype(np.uint8).tobytes(), peak


def _step_powers(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Give the K-weighted power of every step of 100 ms, its channels added up. A last step that is cut is left out."""
    import numpy as np

    frame = _frame(rate)
    step, taper = frame.step, frame.taper
    steps = max(1, len(samples) // step)
    padded = np.zeros((samples.shape[1], steps * step + taper), np.float32)
    there = samples[: padded.shape[1] - taper // 2].T
    padded[:, taper // 2 : taper // 2 + there.shape[1]] = there
    powers = np.zeros(steps)
    for channel in np.lib.stride_tricks.sliding_window_view(padded, step + taper, axis=1)[:, ::step]:
        spectrum = np.fft.rfft(channel * frame.window).astype(np.complex64, copy=False)  # numpy 1 gives complex128
        spectrum[:, :_DRIFT] -= spectrum[:, :1] * frame.offset
        powers += np.square(spectrum.view(np.float32)) @ frame.weights
    return powers / min(step, len(samples))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """How a piece of sound is weighted. A frame is a step and a taper long, both in samples.

    The squares of windows that follow each other add up to one, so that nothing is counted twice. `offset` is how an
    offset of one shows in a spectrum; `weights` are what real and imaginary parts of each frequency count.
    """

    step: int
    taper: int
    window: NDArray[np.float32]
    offset: NDArray[np.complex64]
    weights: NDArray[np.float32]


@cache
def _frame(rate: int) -> _Frame:
    import numpy as np

    step = round(_STEP_S * rate)
    size = _smooth(step + round(_TAPER_S * rate))
    taper = size - step
    fade = np.sin((np.arange(taper) + 0.5) * (np.pi / 2 / taper))
    window = np.concatenate([fade, np.ones(step - taper), fade[::-1]])
    gains = _k_weighting(np.fft.rfftfreq(size, 1 / rate), rate) * 2 / size
    gains[0] /= 2
    if size % 2 == 0:
        gains[-1] /= 2
    offset = np.fft.rfft(window)
    return _Frame(
        step=step,
        taper=taper,
        window=window.astype(np.float32),
        offset=(offset[:_DRIFT] / offset[0]).astype(np.complex64),
        weights=np.repeat(gains, 2).astype(np.float32),
    )


def _smooth(least: int) -> int:
    """Give the next number that a Fourier transform is fast for: of the factors 2, 3 and 5 alone."""
    number = least
    while True:
        rest = number
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return number
        number += 1


def biquads(rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give the two filters of K-weighting for a sample rate, each as b0, b1, b2, a1, a2.

    The standard has them for 48 kHz alone; these are the analogue filters behind those, so they hold at any rate.
    """
    tangent = math.tan(math.pi * 1681.974450955533 / rate)
    quality, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    scale = 1 + tangent / quality + tangent**2
    shelf = (
        (high + band * tangent / quality + tangent**2) / scale,
        2 * (tangent**2 - high) / scale,
        (high - band * tangent / quality + tangent**2) / scale,
        2 * (tangent**2 - 1) / scale,
        (1 - tangent / quality + tangent**2) / scale,
    )
    tangent, quality = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    scale = 1 + tangent / quality + tangent**2
    rumble = (1.0, -2.0, 1.0, 2 * (tangent**2 - 1) / scale, (1 - tangent / quality + tangent**2) / scale)
    return shelf, rumble


def _k_weighting(frequencies: NDArray[np.floating[Any]], rate: int) -> NDArray[np.float64]:
    """Give by how much K-weighting multiplies power at each frequency."""
    import numpy as np

    delay = np.exp(-2j * np.pi * frequencies / rate)
    power = np.ones(len(frequencies))
    for b0, b1, b2, a1, a2 in biquads(rate):
        power *= np.abs((b0 + b1 * delay + b2 * delay**2) / (1 + a1 * delay + a2 * delay**2)) ** 2
    return power


def _loudness(powers: NDArray[np.float64]) -> float | None:
    """Gate the blocks of a sound, and give the loudness of what is left in LUFS; None where nothing is."""
    import numpy as np

    width = min(_STEPS_A_BLOCK, len(powers))
    blocks = np.convolve(powers, np.full(width, 1 / width), mode="valid")
    heard = blocks[blocks > _power(_GATE)]
    if not len(heard):
        return None
    loud = heard[heard > heard.mean() * 10 ** (_RELATIVE_GATE / 10)]
    return _OFFSET + 10 * math.log10(loud.mean())


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - _OFFSET) / 10))
