"""Sounds like speech from text: nobody understands it, but voices, words and their lengths can be told apart."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from kling_batch.sandbox.layers import Signal

_VOWELS = {"a": (800, 1200), "e": (480, 1900), "i": (300, 2300), "o": (480, 850), "u": (320, 700), "y": (300, 2000)}
"""The two lowest formants of each, in hertz."""
_LENGTHS = {" ": 0.8, ",": 2.5, ".": 3.5, "!": 3.5, "?": 3.5}
_WIDTH = 110
"""Of a formant, in hertz."""
_HIGHEST = 4000


def spoken(text: str, voice: str, rng: np.random.Generator, rate: int, frames: int) -> Signal:
    """Make a text's sound, of exactly so many frames. Each voice has its own pitch and size."""
    who = np.random.default_rng(list(hashlib.sha256(voice.encode()).digest()))
    low, high = (165, 250) if "female" in voice else (85, 140) if "male" in voice else (85, 250)
    base, size = who.uniform(low, high), who.uniform(0.9, 1.15)
    said = text.lower() if any(map(str.isalnum, text)) else "hm"
    shapes = np.array([_shape(letter) for letter in f" {said} "])
    middles = np.cumsum(shapes[:, 0]) - shapes[:, 0] / 2
    place = np.linspace(0, shapes[:, 0].sum(), frames)
    first, second, voiced, hissed = (np.interp(place, middles, column) for column in shapes[:, 1:].T)
    accents = rng.uniform(0.88, 1.18, len(middles) // 6 + 2)
    pitch = base * np.interp(place, np.linspace(0, place[-1], len(accents)), accents)
    angle = np.cumsum(pitch) * (2 * np.pi / rate)
    sound = rng.standard_normal(frames) * hissed
    for number in range(1, int(min(_HIGHEST, rate / 2.5) / base)):
        hertz = pitch * number
        gain = _near(hertz, first * size) + 0.5 * _near(hertz, second * size) + 0.01
        sound += np.sin(angle * number) * gain * voiced
    return np.stack([sound] * 2).astype(np.float32)


def _near(hertz: NDArray[np.float64], formant: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + ((hertz - formant) / _WIDTH) ** 2)


def _shape(letter: str) -> tuple[float, ...]:
    """Say of a letter how long it is, where its formants are, and how much voice and hiss it has."""
    if letter in _VOWELS:
        return (1.4, *_VOWELS[letter], 1.0, 0.0)
    if letter in "cfhkpqstxz":
        return 0.9, 500, 1500, 0.0, 0.12
    if letter.isascii() and letter.isalpha():
        return 0.8, 350, 1300, 0.5, 0.01
    if letter.isalnum():
        return (2.0, *list(_VOWELS.values())[ord(letter) % len(_VOWELS)], 1.0, 0.0)
    return _LENGTHS.get(letter, 1.0), 500, 1500, 0.0, 0.0
