"""Sounds from words: a prompt's words choose recipes, its adjectives bend them, and its take rolls the dice."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from kling_batch.sandbox.clips import ClipSpec, encoded
from kling_batch.sandbox.layers import Signal, Take
from kling_batch.sandbox.recipes import PITCH, PLAIN, RECIPES, TEMPO, called_for, factor, words_of
from kling_batch.sandbox.speech import spoken

_PEAK = 0.82
"""-1.7 dBFS: an MP3 of it does not clip either."""
_MOST_RECIPES = 3
_FADE_IN_S = 0.004
_FADE_OUT_S = 0.06


def synthesise(spec: ClipSpec) -> bytes:
    """Make a clip's file: stereo, of exactly the length asked for, audible, without clipping."""
    return encoded(_rendered(spec.prompt, spec.voice, spec.duration_s, spec.seed, spec.sample_rate), spec)


def recipes_for(prompt: str) -> list[str]:
    """Choose what a prompt's words call for, the first word's first; at most three."""
    plain = _chance(prompt).choice(PLAIN, 2, replace=False)
    return called_for(words_of(prompt))[:_MOST_RECIPES] or [str(name) for name in plain]


def _chance(*words: str) -> np.random.Generator:
    """Make a source of chance that follows from words alone."""
    return np.random.default_rng(list(hashlib.sha256("\n".join(words).encode()).digest()))


@lru_cache(maxsize=6)
def _rendered(prompt: str, voice: str, duration_s: float, seed: str, sample_rate: int) -> Signal:
    """Make the samples once for both formats, which are mostly fetched together."""
    frames = round(duration_s * sample_rate)
    if voice:
        return _finished(spoken(prompt, voice, _chance(prompt, voice, seed), sample_rate, frames), sample_rate)
    words = set(words_of(prompt))
    out = np.zeros((2, frames), np.float32)
    for gain, name in zip((1.0, 0.6, 0.45), recipes_for(prompt), strict=False):
        take = Take(
            rate=sample_rate,
            frames=frames,
            rng=_chance(prompt, name, seed),
            voice=_chance(prompt, name),
            pitch=factor(words, PITCH),
            tempo=factor(words, TEMPO),
        )
        sound = np.sum([layer.render(take) for layer in RECIPES[name]], axis=0)
        out += sound * np.float32(gain / np.abs(sound).max())
    return _finished(out, sample_rate)


def _finished(sound: Signal, rate: int) -> Signal:
    """Take out the offset, fade the ends, set the peak."""
    sound -= sound.mean(axis=1, keepdims=True)
    rise, fall = int(_FADE_IN_S * rate), int(_FADE_OUT_S * rate)
    sound[:, :rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    sound[:, -fall:] *= np.linspace(1, 0, fall, dtype=np.float32)
    sound *= np.float32(_PEAK) / np.abs(sound).max()
    return sound.T
