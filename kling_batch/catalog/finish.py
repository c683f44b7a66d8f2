"""Which formats sounds are finished in, and what each can have."""

from __future__ import annotations

from collections.abc import Iterable

FINISHED = ("wav", "flac", "ogg", "opus", "mp3", "aiff")
WITH_BITS = frozenset({"wav", "flac", "aiff"})
"""Formats for which it can be said how many bits a sample has."""
RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (8000, 12000, 16000, 24000, 48000),
}
"""The sample rates of those that cannot have every one, in Hz."""
RESAMPLED = frozenset({"opus"})
"""Formats that cannot have the sample rate of a delivered sound."""
EXTRA, RESAMPLER = "finish", "soxr"
"""The extra that changes sample rates, and the module that it installs."""


def sounds_of(formats: Iterable[str]) -> tuple[str, ...]:
    """Give those formats whose files can be finished: a video cannot."""
    return tuple(name for name in formats if name in FINISHED)


def lead_of(formats: Iterable[str]) -> str | None:
    """Choose the format that a sound is finished from: one that loses nothing, if there is one; None for a video."""
    return min(sounds_of(formats), key=FINISHED.index, default=None)
