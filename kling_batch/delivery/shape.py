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

_SAMPLES_AT_ONCE = 131_072
"""How many are weighted at once, of all channels together: each call costs, and so does memory."""

_OFFSET = -0.691
_GATE = -70.0
_RELATIVE_GATE = -10.0


class Shaping:
    """Looks at a sound while it is decoded, block by block. Takes some 1.5 ms for five seconds of stereo.

    A sound of up to 131 072 samples is weighted in one go at its end, a longer one in as few as there is memory for.

    Args:
        rate: Samples a second.
        channels: How many there are.
        frames: How many samples each channel has, from the first block to the last.
    """

    def __init__(self, rate: int, channels: int, frames: int) -> None:
        import numpy as np

        self._frame = frame = _frame(rate)
        self._frames = frames
        self._seen = 0
        self._starts = np.arange(BUCKETS) * frames // BUCKETS
        self._highest = np.zeros(BUCKETS, np.float32)
        steps = max(1, min(frames // frame.step, _SAMPLES_AT_ONCE // (frame.step * channels)))
        size, width = len(frame.window), steps * frame.step + frame.taper
        self._line = np.empty((channels, width), np.float32)
        self._filled = frame.taper // 2
        self._line[:, : self._filled] = 0
        shape, strides = (channels, steps, size), (4 * width, 4 * frame.step, 4)
        self._windows: NDArray[np.float32] = np.ndarray(shape, np.float32, self._line, strides=strides)
        self._weighted = np.empty(shape, np.float32)
        self._powers: list[float] = []

    def feed(self, block: NDArray[np.float32]) -> None:
        """Look at the next samples, a row each, a column a channel, 1.0 being full scale. Nothing of them is kept."""
        self._see_peaks(block)
        self._seen += len(block)
        line, steps = self._line, self._windows.shape[1]
        while len(block):
            some = block[: line.shape[1] - self._filled]
            line[:, self._filled : self._filled + len(some)] = some.T
            self._filled += len(some)
            if self._filled == line.shape[1]:
                self._hear(steps)
                self._filled = self._frame.taper
                line[:, : self._filled] = line[:, -self._filled :]
            block = block[len(some) :]

    def shape(self) -> Shape:
        """Say what was seen, once, when all samples were. A last step of 100 ms that is cut is not heard."""
        frame = self._frame
        missing = max(1, self._frames // frame.step) - len(self._powers)
        if missing:
            self._line[:, self._filled :] = 0
            self._hear(missing)
        peak = float(self._highest.max())
        heard = min(frame.step, self._frames)
        return Shape(
            peak=peak,
            loudness=_loudness([power / heard for power in self._powers]),
            waveform=_waveform(self._highest, peak),
        )

    def _see_peaks(self, block: NDArray[np.float32]) -> None:
        """Raise each column to its largest sample; a column may begin in one block and end in the next."""
        import numpy as np

        first, last = np.searchsorted(self._starts, (self._seen, self._seen + len(block)))
        if first == BUCKETS or self._starts[first] > self._seen:
            first -= 1  # the one that began in an earlier block
        starts = np.maximum(self._starts[first:last] - self._seen, 0) * block.shape[1]
        samples, highest = block.ravel(), self._highest[first:last]
        np.maximum(highest, np.maximum.reduceat(samples, starts), out=highest)
        np.maximum(highest, -np.minimum.reduceat(samples, starts), out=highest)

    def _hear(self, steps: int) -> None:
        """Measure the K-weighted energy of the first steps of the line."""
        import numpy as np

        frame = self._frame
        weighted = np.multiply(self._windows[:, :steps], frame.window, out=self._weighted[:, :steps])
        # Without this norm, numpy 2 copies all of it to double precision and back.
        spectrum = np.fft.rfft(weighted, norm="forward")
        spectrum = spectrum.astype(np.complex64, copy=False)  # numpy 1 gives complex128
        spectrum[..., :_DRIFT] -= spectrum[..., :1] * frame.offset
        parts = spectrum.view(np.float32)
        # Not the product of matrices: it starts threads.
        self._powers += np.einsum("csp,p->s", np.square(parts, out=parts), frame.weights).tolist()


def _waveform(highest: NDArray[np.float32], peak: float) -> bytes:
    """Draw the largest sample of each part of a sound, as a byte, 255 being the largest of all."""
    import numpy as np

    if peak == 0:
        return bytes(BUCKETS)
    drawn: NDArray[np.uint8] = np.ceil(highest / peak * 255).astype(np.uint8)
    return drawn.tobytes()


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
    gains = _k_weighting(np.fft.rfftfreq(size, 1 / rate), rate) * 2 * size
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
