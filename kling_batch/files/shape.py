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

_FRAMES_AT_ONCE = 10
_CELLS_A_SECOND = 400

_OFFSET = -0.691
_GATE = -70.0
_RELATIVE_GATE = -10.0


class Shaping:
    """Looks at a sound while it is decoded, block by block. Takes some 2 ms for five seconds of stereo.

    It works on a few frames at a time: fresh memory for a whole sound would cost more than all the rest.

    Args:
        rate: Samples a second.
        channels: How many there are.
    """

    def __init__(self, rate: int, channels: int) -> None:
        import numpy as np

        self._frame = _frame(rate)
        self._cell = max(1, rate // _CELLS_A_SECOND)
        self._seen = 0
        self._rest = np.zeros((channels, self._frame.taper // 2), np.float32)
        self._powers: list[NDArray[np.floating[Any]]] = []
        self._cells: list[NDArray[np.float32]] = []

    def feed(self, block: NDArray[np.float32]) -> None:
        """Look at the next samples, a row each, a column a channel, 1.0 being full scale. Nothing of them is kept."""
        import numpy as np

        self._see_peaks(block)
        self._hear(np.concatenate([self._rest, block.T], axis=1))
        self._seen += len(block)

    def shape(self) -> Shape:
        """Say what was seen, when all samples were. A last step of 100 ms that is cut is not heard."""
        import numpy as np

        step, taper = self._frame.step, self._frame.taper
        missing = max(1, self._seen // step) - sum(map(len, self._powers))
        if missing:
            padded = np.zeros((len(self._rest), missing * step + taper), np.float32)
            there = self._rest[:, : padded.shape[1]]
            padded[:, : there.shape[1]] = there
            self._hear(padded)
        powers = np.concatenate(self._powers) / min(step, max(1, self._seen))
        cells = np.concatenate(self._cells)
        peak = float(cells.max())
        return Shape(peak=peak, loudness=_loudness(powers), waveform=_waveform(cells, peak))

    def _see_peaks(self, block: NDArray[np.float32]) -> None:
        """Keep the largest sample of every few milliseconds; a cell may begin in one block and end in the next."""
        import numpy as np

        begun = self._seen % self._cell
        starts = np.arange(-begun, len(block), self._cell) * block.shape[1]
        starts[0] = 0
        samples = block.ravel()
        highest = np.maximum(np.maximum.reduceat(samples, starts), -np.minimum.reduceat(samples, starts))
        if begun:
            self._cells[-1][-1] = max(self._cells[-1][-1], highest[0])
            highest = highest[1:]
        if len(highest):
            self._cells.append(highest)

    def _hear(self, line: NDArray[np.float32]) -> None:
        """Measure the steps that are whole, a row of samples a channel, and keep what is left."""
        import numpy as np

        frame = self._frame
        steps = max(0, line.shape[1] - frame.taper) // frame.step
        for first in range(0, steps, _FRAMES_AT_ONCE):
            last = min(first + _FRAMES_AT_ONCE, steps)
            part = line[:, first * frame.step : last * frame.step + frame.taper]
            powers = np.zeros(last - first)
            for windows in np.lib.stride_tricks.sliding_window_view(part, frame.step + frame.taper, axis=1):
                powers += _power(windows[:: frame.step], frame)
            self._powers.append(powers)
        self._rest = line[:, steps * frame.step :].copy()


def _power(windows: NDArray[np.float32], frame: _Frame) -> NDArray[np.floating[Any]]:
    """Give the K-weighted energy of frames of one channel."""
    import numpy as np

    spectrum = np.fft.rfft(windows * frame.window).astype(np.complex64, copy=False)  # numpy 1 gives complex128
    spectrum[:, :_DRIFT] -= spectrum[:, :1] * frame.offset
    energy: NDArray[np.floating[Any]] = np.square(spectrum.view(np.float32)) @ frame.weights
    return energy


def _waveform(cells: NDArray[np.float32], peak: float) -> bytes:
    """Draw the largest sample of each part of a sound, as a byte, 255 being the largest of all."""
    import numpy as np

    if peak == 0:
        return bytes(BUCKETS)
    highest = np.maximum.reduceat(cells, np.arange(BUCKETS) * len(cells) // BUCKETS)
    return np.ceil(highest * (255 / peak)).clip(0, 255).astype(np.uint8).tobytes()


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
    heard = blocks[blocks > 10 ** ((_GATE - _OFFSET) / 10)]
    if not len(heard):
        return None
    loud = heard[heard > heard.mean() * 10 ** (_RELATIVE_GATE / 10)]
    return _OFFSET + 10 * math.log10(loud.mean())
