"""What sounds are made of: noise, drones and events, in float32. A stereo signal has the shape (2, frames)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Signal: TypeAlias = NDArray[np.float32]
Range: TypeAlias = tuple[float, float]

_HIGHEST = 0.4
"""The highest frequency of a tone, as a share of the sample rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Take:
    """What a layer is rendered for.

    `rng` belongs to the take: when things happen. `voice` belongs to the prompt: how its things sound.
    `pitch` and `tempo` are factors that the prompt's adjectives set.
    """

    rate: int
    frames: int
    rng: np.random.Generator
    voice: np.random.Generator
    pitch: float = 1.0
    tempo: float = 1.0

    def curve(self, turns_per_s: float, limits: Range, *, regular: bool = False) -> Signal:
        """Make a curve that glides from one value to the next, at random or, if `regular`, up and down."""
        count = int(self.frames / self.rate * turns_per_s * self.tempo) + 3
        points = np.resize(limits, count) if regular else self.rng.uniform(*limits, count)
        place = np.arange(self.frames) * (turns_per_s * self.tempo / self.rate)
        values: Signal = np.interp(place, np.arange(count), points).astype(np.float32)
        return values

    def tone(self, hertz: Signal, partials: tuple[Range, ...]) -> Signal:
        """Add up sines over a gliding pitch; each partial is a factor to the pitch and a gain."""
        hertz = np.minimum(hertz, self.rate * _HIGHEST)
        angle = np.cumsum(hertz, dtype=np.float64) * (2 * np.pi / self.rate)
        heard = [(ratio, gain) for ratio, gain in partials if hertz.max() * ratio < self.rate / 2]
        wave: Signal = np.sum([gain * np.sin(angle * ratio) for ratio, gain in heard], axis=0, dtype=np.float32)
        return wave


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise between two frequencies, whose volume swells and falls."""

    band: Range
    volume: Range
    _: KW_ONLY
    turns_per_s: float = 1.0
    regular: bool = False

    def render(self, take: Take) -> Signal:
        """Make the whole take's worth."""
        low, high = self.band
        hertz = np.fft.rfftfreq(take.frames, 1 / take.rate) + 1
        spectrum = np.fft.rfft(take.rng.standard_normal((2, take.frames)))
        noise = np.fft.irfft(spectrum / (1 + (low / hertz) ** 4) / (1 + (hertz / high) ** 4), take.frames)
        volume = take.curve(self.turns_per_s, self.volume, regular=self.regular)
        sound: Signal = (noise / noise.std() * volume).astype(np.float32)
        return sound


@dataclass(frozen=True, slots=True)
class Drone:
    """A tone that goes on. Its pitch strays by the factor `stray`; where its volume is below 0, it pauses."""

    hertz: Range
    volume: Range
    _: KW_ONLY
    partials: tuple[Range, ...] = ((1, 1),)
    stray: float = 1.0
    turns_per_s: float = 1.0
    volume_turns_per_s: float = 1.0
    regular: bool = False

    def render(self, take: Take) -> Signal:
        """Make the whole take's worth."""
        base = take.voice.uniform(*self.hertz) * take.pitch
        pitch = base * self.stray ** take.curve(self.turns_per_s, (-1, 1), regular=self.regular)
        volume = np.maximum(take.curve(self.volume_turns_per_s, self.volume), 0)
        return np.stack([take.tone(pitch, self.partials) * volume] * 2)


@dataclass(frozen=True, slots=True)
class Events:
    """Short sounds, each struck and fading, or, if `soft`, swelling and fading.

    They come at random, or, if `steady`, at a pace. Each is followed by others until there are `repeats` of them,
    `gap_s` apart, each a little quieter. The prompt chooses a pitch from `hertz`; each event is off by up to the
    factor `spread`, and glides until its pitch is `glide` times as high. `hiss` is the share of noise.
    """

    per_second: float
    length_s: Range
    _: KW_ONLY
    hertz: Range = (440, 440)
    spread: float = 1.0
    glide: float = 1.0
    partials: tuple[Range, ...] = ((1, 1),)
    hiss: float = 0.0
    soft: bool = False
    steady: bool = False
    repeats: tuple[int, int] = (1, 1)
    gap_s: float = 0.12

    def render(self, take: Take) -> Signal:
        """Make the whole take's worth."""
        out = np.zeros((2, take.frames), np.float32)
        base = take.voice.uniform(*self.hertz) * take.pitch
        for at in self._times(take):
            side = take.rng.uniform(0.25, 0.75)
            for number in range(take.rng.integers(*self.repeats, endpoint=True)):
                start = int((at + number * self.gap_s * take.rng.uniform(0.8, 1.2)) * take.rate)
                event = self._event(take, base)[: max(0, take.frames - start)]
                event *= take.rng.uniform(0.5, 1.0) * 0.96**number
                out[:, start : start + len(event)] += np.outer((1 - side, side), event)
        return out

    def _times(self, take: Take) -> NDArray[np.float64]:
        last_s = take.frames / take.rate - 0.1
        pace = self.per_second * take.tempo
        if self.steady:
            times = np.arange(0.1, last_s, 1 / pace)
            return times + take.rng.uniform(0, 0.15 / pace, len(times))
        return take.rng.uniform(0, last_s, max(1, take.rng.poisson(pace * last_s)))

    def _event(self, take: Take, base: float) -> Signal:
        length_s = take.rng.uniform(*self.length_s)
        done = np.linspace(0, 1, int(length_s * take.rate) + 2, dtype=np.float32)
        hertz = base * self.spread ** take.rng.uniform(-1, 1) * self.glide**done
        sound = take.tone(hertz, self.partials) * np.float32(1 - self.hiss)
        hiss = np.convolve(take.rng.standard_normal(len(done)), (0.25, 0.5, 0.25), "same") * self.hiss
        fall = np.sin(done * np.pi) ** 2 if self.soft else np.exp(-5 * done) * np.minimum(done * 50, 1)
        event: Signal = ((sound + hiss) * fall).astype(np.float32)
        return event


Layer: TypeAlias = Noise | Drone | Events
