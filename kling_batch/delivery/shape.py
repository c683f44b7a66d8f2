"""What a sound looks like and how loud it is, for people who choose between takes: peaks, loudness and a waveform.

Loudness is the integrated loudness of ITU-R BS.1770-4, in LUFS: K-weighted, in blocks of 400 ms that start every
100 ms, gated at -70 LUFS and then at 10 LU under the mean. The weighting is done to the power spectrum of windowed
frames of 100 ms, not sample by sample, which needs no other library than numpy. Every channel counts alike, as the
standard has it for mono and stereo.
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
_TAPER_S = 0.008
"""How long a frame fades in and out, at least."""

_AROUND = 12
"""Samples that a value between two of them is worked out from."""
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
        true_peak=_true_peak(samples, peak),
        rate=rate,
        channels=channels,
    )


def _true_peak(samples: NDArray[np.float32], peak: float) -> float:
    """Find the largest value of a sound also between its samples, at four times their rate, as BS.1770-4 has it.

    What lies between samples is less than twice as large as the largest of those around it: most need no look.
    """
    import numpy as np

    place = np.arange(_AROUND) - _AROUND // 2 + 1
    between = [np.sinc(place - part) * np.cos(np.pi * (place - part) / _AROUND) ** 2 for part in (0.25, 0.5, 0.75)]
    weights = np.array(between, np.float32)[:, :, None]
    highest = peak
    for channel in samples.T:
        line = np.pad(channel, _AROUND)
        for first in range(0, len(channel) + _AROUND, _STRETCH):
            near = line[first : first + _STRETCH + _AROUND]
            if 2 * max(near.max(), -near.min()) > highest:
                count = len(near) - _AROUND + 1
                values = sum(weights[:, step] * near[step : step + count] for step in range(_AROUND))
                highest = max(highest, float(np.abs(values).max()))
    return highest


def _powers(samples: NDArray[np.float32], rate: int) -> list[float]:
    """Measure the K-weighted power of each step of 100 ms, of all channels together; one that is cut is not heard.

    A frame is a step and a taper long. The squares of windows that follow each other add up to one, so that nothing is
    counted twice. Each frame is rid of its mean: an offset, not heard, would leak into the low frequencies.
    """
    import numpy as np

    step = round(_STEP_S * rate)
    size = -(-(step + round(_TAPER_S * rate)) // 64) * 64  # of small factors, for which a Fourier transform is fast
    taper = size - step
    fade = np.sin((np.arange(taper) + 0.5) * (np.pi / 2 / taper))
    window = np.concatenate([fade, np.ones(step - taper), fade[::-1]]).astype(np.float32)
    weights = (_k_weighting(np.fft.rfftfreq(size, 1 / rate), rate) * 2 * size).astype(np.float32)
    steps = max(1, len(samples) // step)
    power = np.zeros(steps)
    for channel in samples.T:  # one after the other: together they would leave the processor's cache
        line = np.zeros(steps * step + taper, np.float32)
        heard = channel[: steps * step + taper - taper // 2]
        line[taper // 2 : taper // 2 + len(heard)] = heard
        frames = np.lib.stride_tricks.sliding_window_view(line, size)[::step]
        # Not by the product of matrices: it starts threads.
        means = np.einsum("si,i->s", frames, window / window.sum())
        # Without this norm, numpy copies all of it to double precision and back.
        spectrum = np.fft.rfft((frames - means[:, None]) * window, norm="forward").astype(np.complex64, copy=False)
        power += np.einsum("sf,f->s", np.square(np.abs(spectrum)), weights)
    return [float(each) / min(step, len(samples)) for each in power]


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


def _loudness(powers: list[float]) -> float | None:
    """Gate the blocks of a sound, and give the loudness of what is left in LUFS; None where nothing is."""
    width = min(_STEPS_A_BLOCK, len(powers))
    blocks = [sum(powers[first : first + width]) / width for first in range(len(powers) - width + 1)]
    least = 10 ** ((_GATE - _OFFSET) / 10)
    heard = [power for power in blocks if power > least]
    if not heard:
        return None
    least = sum(heard) / len(heard) * 10 ** (_RELATIVE_GATE / 10)
    loud = [power for power in heard if power > least]
    return _OFFSET + 10 * math.log10(sum(loud) / len(loud))
