"""The building blocks of sounds: coloured noise, tones, envelopes, and events placed in time and between two ears.

Everything is 32-bit floating point. A mono signal has the shape (frames,), a stereo one (2, frames).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Signal: TypeAlias = NDArray[np.float32]

_TAU = np.float32(2 * np.pi)
_LOOP_S = 3.0


def chance(*words: str) -> np.random.Generator:
    """Make a source of chance that follows from words alone."""
    digest = hashlib.sha256("\n".join(words).encode()).digest()
    return np.random.Generator(np.random.SFC64(list(digest)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Kit:
    """What a recipe has at hand.

    `rng` belongs to the take: when things happen. `voice` belongs to the prompt: how its things sound.
    `pitch` and `tempo` are factors that the prompt's adjectives set.
    """

    rate: int
    frames: int
    rng: np.random.Generator
    voice: np.random.Generator
    pitch: float = 1.0
    tempo: float = 1.0

    @property
    def seconds(self) -> float:
        """The length."""
        return self.frames / self.rate

    def silence(self) -> Signal:
        """Make nothing, in stereo, to place events into."""
        return np.zeros((2, self.frames), np.float32)

    def time(self, seconds: float | None = None) -> Signal:
        """Count seconds, from 0, for the whole clip or for a part."""
        frames = self.frames if seconds is None else max(2, int(seconds * self.rate))
        return np.arange(frames, dtype=np.float32) / np.float32(self.rate)

    def noise(self, low: float, high: float, *, tilt: float = 0.0) -> Signal:
        """Make stereo noise between two frequencies, at an RMS of 1; `tilt` -1 is pink and -2 is brown.

        It repeats every 3 seconds without a seam, which nobody hears in noise and which makes it cheap.
        """
        size = 1 << round(np.log2(_LOOP_S * self.rate))
        bins = size // 2 + 1
        frequency = np.arange(bins, dtype=np.float32) * np.float32(self.rate / size)
        frequency[0] = frequency[1]
        shape = frequency ** np.float32(tilt / 2)
        shape /= 1 + (np.float32(low) / frequency) ** 4
        shape /= 1 + (frequency / np.float32(high)) ** 4
        spectrum = self.rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64) * shape
        loop = np.fft.irfft(spectrum, size).astype(np.float32)
        loop /= np.sqrt(np.mean(loop * loop)) + np.float32(1e-9)
        repeats = self.frames // size + 2
        long = np.tile(loop, repeats)
        shift = size // 2 - 1000
        return np.stack([long[: self.frames], long[shift : shift + self.frames]])

    def hiss(self, seconds: float) -> Signal:
        """Make a little white noise for one event."""
        return self.rng.standard_normal(max(2, int(seconds * self.rate)), dtype=np.float32)

    def tone(self, hertz: float | Signal, seconds: float | None = None) -> Signal:
        """Make a sine; with an array of frequencies, one that glides through them."""
        angle = self.phase(hertz) if isinstance(hertz, np.ndarray) else self.time(seconds) * np.float32(hertz) * _TAU
        wave: Signal = np.sin(angle)
        return wave

    def phase(self, hertz: Signal) -> Signal:
        """Add up frequencies to an angle, in radians."""
        turns: Signal = np.cumsum(hertz.astype(np.float64) * (2 * np.pi / self.rate)).astype(np.float32)
        return turns

    def ring(self, partials: list[tuple[float, float, float]], seconds: float) -> Signal:
        """Strike something that rings: (hertz, gain, seconds to fade to a third) for each partial."""
        time = self.time(seconds)
        out = np.zeros_like(time)
        for hertz, gain, fade_s in partials:
            if hertz < self.rate * 0.45:
                out += np.float32(gain) * np.sin(time * np.float32(hertz) * _TAU) * np.exp(time / np.float32(-fade_s))
        return out

    def fading(self, seconds: float, fade_s: float, attack_s: float = 0.002) -> Signal:
        """Make the envelope of a single event."""
        time = self.time(seconds)
        envelope: Signal = np.minimum(time / np.float32(attack_s), 1) * np.exp(time / np.float32(-fade_s))
        return envelope

    def drift(self, per_second: float, low: float, high: float) -> Signal:
        """Make a curve that wanders between two values, `per_second` turns a second."""
        points = max(3, int(self.seconds * per_second) + 2)
        values = self.rng.uniform(low, high, points)
        return np.interp(np.linspace(0, points - 1, self.frames), np.arange(points), values).astype(np.float32)

    def moments(self, per_second: float) -> NDArray[np.float64]:
        """Choose times at random, in order, none in the last tenth of a second; at least one."""
        last = max(0.1, self.seconds - 0.1)
        count = max(1, self.rng.poisson(per_second * self.tempo * last))
        return np.sort(self.rng.uniform(0, last, count))

    def beats(self, per_second: float, *, sway: float = 0.0) -> NDArray[np.float64]:
        """Choose times at a steady pace; `sway` is how far each may be off, as a share of the pace."""
        gap = 1 / (per_second * self.tempo)
        times = np.arange(gap * 0.3, self.seconds - 0.05, gap)
        return np.clip(times + self.rng.uniform(-sway, sway, len(times)) * gap, 0, None)

    def place(self, out: Signal, event: Signal, at_s: float, gain: float = 1.0, pan: float = 0.0) -> None:
        """Add an event to a stereo signal; `pan` goes from -1 (left) to 1 (right)."""
        start = int(at_s * self.rate)
        length = min(len(event), self.frames - start)
        if start >= 0 and length > 0:
            out[0, start : start + length] += event[:length] * np.float32(gain * (1 - max(0.0, pan)))
            out[1, start : start + length] += event[:length] * np.float32(gain * (1 + min(0.0, pan)))

    def around(self) -> float:
        """Choose a place between the ears."""
        return float(self.rng.uniform(-0.7, 0.7))

    def loud(self) -> float:
        """Choose how loud an event is."""
        return float(self.rng.uniform(0.35, 1.0))
