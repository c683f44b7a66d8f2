"""What a sound looks like and how loud it is, for people who choose between takes: peaks, loudness and a waveform.

Loudness is the integrated loudness of ITU-R BS.1770-4, in LUFS: K-weighted, in blocks of 400 ms that start every
100 ms, gated at -70 LUFS and then at 10 LU under the mean. A sound that is shorter than a block is measured in one,
with silence after it: that is its loudest moment. The weighting is done to the spectra of frames, not sample by
sample, which needs no other library than numpy. Every channel counts alike, as the standard has it for mono and stereo.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from kling_batch.model import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUCKETS = 120
"""Columns of a waveform."""

_STEP_S = 0.1
_STEPS_A_BLOCK = 4
BLOCK_S = _STEP_S * _STEPS_A_BLOCK
_MEMORY_S = 0.06
"""How long the filters hear of a sample, at most."""

_COARSE, _FINE = 12, 24
"""Samples that a value between two of them is worked out from."""
_CLOSE = 0.85
_USUAL_RATE, _TRUE_RATE = 48_000, 192_000
"""Values a second among which a true peak is looked for: four times the rate of 48 kHz, as BS.1770-4 has it."""
_STRETCH = 4096
"""Samples at once: they stay in the processor's cache."""

_OFFSET = -0.691
_GATE = -70.0
_RELATIVE_GATE = -10.0


def shape_of(samples: NDArray[np.float32], rate: int) -> Shape:
    """Look at a sound. Takes some 2 ms for five seconds of stereo.

    Args:
        samples: A row a sample, a column a channel, 1.0 being full scale.
        rate: Samples a second.
    """
    import numpy as np

    rows, channels = samples.shape
    columns = np.maximum.reduceat(np.abs(samples).ravel(), np.arange(BUCKETS) * rows // BUCKETS * channels)
    peak = float(columns.max())
    drawn = np.ceil(columns / (peak or 1.0) * 255).astype(np.uint8)
    return Shape(
        peak=peak,
        loudness=_loudness(_powers(samples, rate)),
        waveform=drawn.tobytes(),
        true_peak=_true_peak(samples, rate, peak),
        rate=rate,
        channels=channels,
    )


def _true_peak(samples: NDArray[np.float32], rate: int, peak: float) -> float:
    """Find the largest value of a sound also between its samples.

    Most of a sound needs no look, or but a coarse one: what lies between samples is less
    than 2.5 times as large as the largest of those around it, and not much larger than the coarse look says. At its
    ends it does as ffmpeg: before the start is a mirror image of it, and between its last samples is no look.
    """
    import numpy as np

    coarse, fine = _between(_COARSE, 4), _between(_FINE, 8 if rate < _USUAL_RATE else max(2, _TRUE_RATE // rate))
    highest = peak
    for channel in samples.T:
        line = np.pad(channel, (_FINE, 0), mode="reflect")
        for first in range(0, len(channel), _STRETCH):
            near = line[first : first + _STRETCH + _FINE]
            if 2.5 * max(near.max(), -near.min()) > highest and _largest(near, coarse) > _CLOSE * highest:
                highest = max(highest, _largest(near, fine))
    return highest


def _between(around: int, parts: int) -> NDArray[np.float32]:
    """Give the weights by which the values between two samples are worked out from so many around them."""
    import numpy as np

    away = np.arange(around)[:, None] - around // 2 + 1 - np.arange(1, parts) / parts
    weights: NDArray[np.float32] = (np.sinc(away) * np.cos(np.pi * away / around) ** 2).astype(np.float32)
    return weights


def _largest(line: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    """Find the largest value between the samples of a line."""
    import numpy as np

    count = len(line) - len(weights) + 1
    values = sum(each[:, None] * line[step : step + count] for step, each in enumerate(weights))
    return float(np.abs(values).max())


def _powers(samples: NDArray[np.float32], rate: int) -> list[float]:
    """Measure the K-weighted power of each step of 100 ms, of all channels together; one that is cut is not heard.

    A frame is as many steps as a block, and as much before them as the filters remember.
    """
    import numpy as np

    step = round(_STEP_S * rate)
    hop = step * _STEPS_A_BLOCK
    size = -(-(hop + round(_MEMORY_S * rate)) // 960) * 960  # of small factors, for which a Fourier transform is fast
    before = size - hop
    weights = (_k_weighting(np.fft.rfftfreq(size, 1 / rate), rate) * size).astype(np.complex64)
    steps = max(_STEPS_A_BLOCK, len(samples) // step)
    count = -(-steps // _STEPS_A_BLOCK)
    power = np.zeros(count * _STEPS_A_BLOCK)
    for channel in samples.T:  # one after the other: together they would leave the processor's cache
        line = np.zeros(before + count * hop, np.float32)
        heard = channel[: count * hop]
        line[before : before + len(heard)] = heard
        frames = np.lib.stride_tricks.sliding_window_view(line, size)[::hop]
        # With these norms, numpy does not copy all of it to double precision and back.
        spectrum = np.fft.rfft(frames, norm="forward").astype(np.complex64, copy=False)
        weighted = np.fft.irfft(spectrum * weights, size)[:, before:].reshape(-1, step)
        # Not by the product of matrices: it starts threads.
        power += np.einsum("si,si->s", weighted, weighted)
    return [float(each) / step for each in power[:steps]]


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


def _k_weighting(frequencies: NDArray[np.floating[Any]], rate: int) -> NDArray[np.complex128]:
    """Give what K-weighting multiplies each frequency by."""
    import numpy as np

    delay = np.exp(-2j * np.pi * frequencies / rate)
    response = np.ones(len(frequencies), np.complex128)
    for b0, b1, b2, a1, a2 in biquads(rate):
        response *= (b0 + b1 * delay + b2 * delay**2) / (1 + a1 * delay + a2 * delay**2)
    return response


def _loudness(powers: list[float]) -> float | None:
    """Gate the blocks of a sound, and give the loudness of what is left in LUFS; None where nothing is."""
    width = _STEPS_A_BLOCK
    blocks = [sum(powers[first : first + width]) / width for first in range(len(powers) - width + 1)]
    least = 10 ** ((_GATE - _OFFSET) / 10)
    heard = [power for power in blocks if power > least]
    if not heard:
        return None
    least = sum(heard) / len(heard) * 10 ** (_RELATIVE_GATE / 10)
    loud = [power for power in heard if power > least]
    return _OFFSET + 10 * math.log10(sum(loud) / len(loud))
