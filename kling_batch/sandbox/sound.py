"""Sounds from words: a prompt's words choose recipes, its adjectives bend them, and its take rolls the dice."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import soundfile
from numpy.typing import NDArray

from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.kit import Kit, Signal, chance
from kling_batch.sandbox.recipes import Recipe
from kling_batch.sandbox.vocabulary import FAR, HALL, PITCH, PLAIN, TEMPO, called_for, factor, words_of

_FORMATS = {"wav": ("WAV", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III")}
_PEAK = 0.82
"""-1.7 dBFS: an MP3 of it does not clip either."""
_MOST_LAYERS = 3
_FADE_IN_S = 0.004
_FADE_OUT_S = 0.06


def synthesise(spec: ClipSpec) -> bytes:
    """Make a clip's file: 16-bit stereo, of exactly the length asked for, audible, without clipping."""
    container, subtype = _FORMATS[spec.audio_format]
    file = io.BytesIO()
    samples = _rendered(spec.prompt, spec.duration_s, spec.seed, spec.sample_rate)
    soundfile.write(file, samples, spec.sample_rate, format=container, subtype=subtype)
    return file.getvalue()


def recipes_for(prompt: str) -> list[Recipe]:
    """Choose what a prompt's words call for, the first word's first; at most three."""
    chosen = called_for(words_of(prompt))[:_MOST_LAYERS]
    if chosen:
        return chosen
    picks = chance(prompt, "plain").choice(len(PLAIN), 2, replace=False)
    return [PLAIN[pick] for pick in picks]


@lru_cache(maxsize=6)
def _rendered(prompt: str, duration_s: float, seed: str, sample_rate: int) -> NDArray[np.int16]:
    """Make the samples once for both formats, which are mostly fetched together."""
    frames = round(duration_s * sample_rate)
    words = set(words_of(prompt))
    out = np.zeros((2, frames), np.float32)
    for layer, recipe in enumerate(recipes_for(prompt)):
        name = recipe.__name__
        kit = Kit(
            rate=sample_rate,
            frames=frames,
            rng=chance(prompt, seed, name),
            voice=chance(prompt, name),
            pitch=factor(words, PITCH),
            tempo=factor(words, TEMPO),
        )
        sound = recipe(kit)
        out += sound * np.float32((1.0, 0.6, 0.45)[layer] / (np.max(np.abs(sound)) + 1e-6))
    if words & FAR:
        out = _muffled(out, sample_rate)
    if words & HALL:
        _echo(out, sample_rate)
    return _finished(out, sample_rate)


def _muffled(sound: Signal, rate: int) -> Signal:
    """Take the heights away, as distance does."""
    width = max(2, rate // 2000)
    total = np.cumsum(np.pad(sound, ((0, 0), (width, 0))), axis=1, dtype=np.float64)
    return ((total[:, width:] - total[:, :-width]) / width).astype(np.float32)


def _echo(sound: Signal, rate: int) -> None:
    """Add what a large room gives back."""
    for delay_s, gain in ((0.19, 0.45), (0.43, 0.28), (0.71, 0.16)):
        delay = int(delay_s * rate)
        sound[:, delay:] += sound[::-1, :-delay] * np.float32(gain)


def _finished(sound: Signal, rate: int) -> NDArray[np.int16]:
    """Take out the offset, fade the ends, set the peak."""
    sound -= sound.mean(axis=1, keepdims=True)
    rise, fall = int(_FADE_IN_S * rate), int(_FADE_OUT_S * rate)
    sound[:, :rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    sound[:, -fall:] *= np.linspace(1, 0, fall, dtype=np.float32)
    sound *= np.float32(_PEAK * 32767) / (np.max(np.abs(sound)) + np.float32(1e-6))
    return np.ascontiguousarray(sound.T.astype(np.int16))
