"""What checks say of sounds, with the figure and what it is measured against."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from kling_batch.delivery.checks import alike, fingerprint, likeness, remarks
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.sound import synthesise

RATE = 44_100
TIME = np.arange(2 * RATE)[:, None] / RATE
TONE = np.sin(2 * np.pi * 330 * TIME)
CHECKS: dict[str, Any] = {
    "silent": {"below": -60, "then": "fail"},
    "clipped": {"over": 0, "then": "warn"},
    "quiet": {"below": -45, "then": "warn"},
    "leading_silence": {"over": 0.3, "then": "warn"},
    "dc_offset": {"over": 0.01, "then": "warn"},
}


def said(samples: Any) -> list[str]:
    return [remark.words for remark in remarks(np.asarray(samples, np.float32), RATE, CHECKS)]


def as_mp3(samples: Any, **options: Any) -> Any:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="MP3", **options)
    return soundfile.read(io.BytesIO(file.getvalue()), dtype="float32", always_2d=True)[0]


def clip(prompt: str, seed: str, audio_format: str = "wav") -> Any:
    """Let the sandbox make a sound."""
    spec = ClipSpec(prompt=prompt, duration_s=3.0, seed=seed, audio_format=audio_format, sample_rate=RATE)
    return soundfile.read(io.BytesIO(synthesise(spec)), dtype="float32", always_2d=True)[0]


FOUND = {
    "nothing": (TONE * 0.5, []),
    "silent": (
        TONE * 0.000123,
        [
            "silent: its peak is -78.2 dBFS, and below -60 dBFS counts as silent",
            "quiet: its loudness is under -70 LUFS, too little to be measured, and below -45 LUFS counts as quiet",
            "leading_silence: it is below -50 dBFS for its first 2.00 s, and over 0.3 s counts as silence",
        ],
    ),
    "zeros": (TONE * 0, ["silent: it has no sample but zeros, and below -60 dBFS counts as silent"]),
    "quiet": (TONE * 0.002, ["quiet: its loudness is -57.7 LUFS, and below -45 LUFS counts as quiet"]),
    "late": (
        np.where(TIME < 0.5, 0.001, TONE),
        ["leading_silence: it is below -50 dBFS for its first 0.50 s, and over 0.3 s counts as silence"],
    ),
    "offset": (
        TONE * 0.5 - 0.02,
        ["dc_offset: its mean is 0.020 of full scale off zero, and over 0.01 counts as an offset"],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_remark_has_its_figure(name: str) -> None:
    """In units that people use, beside the figure that it is measured against."""
    samples, words = FOUND[name]
    assert said(samples)[: max(1, len(words))] == words


def test_a_remark_says_what_comes_of_it() -> None:
    """As the check does; and what is not checked is not said."""
    silent = np.zeros((RATE, 1), np.float32)
    assert [(one.check, one.then) for one in remarks(silent, RATE, {"silent": CHECKS["silent"]})] == [
        ("silent", "fail")
    ]
    assert remarks(silent, RATE, {}) == ()


@pytest.mark.parametrize("through", [lambda samples: samples, as_mp3])
def test_clipping_is_found(through: Any) -> None:
    """Three samples in a row at full scale, also where MP3 has bent them; a loud sound that is whole is none."""
    cut = np.clip(TONE * 1.3, -1, 32767 / 32768).astype(np.float32)
    words = said(through(cut))
    assert len(words) == 1
    assert words[0].startswith("clipped: 3 or more samples in a row are at full scale in ")
    whole = TONE * 0.95 * np.linspace(0.1, 1, len(TONE))[:, None]
    assert said(through(whole.astype(np.float32))) == []


def test_places_are_counted() -> None:
    """A run counts once, however long it is; two samples are none."""
    samples = np.array(TONE * 0.1, np.float32)
    samples[100:103] = samples[200:300] = 1.0
    samples[400:402] = -1.0
    assert said(samples)[0].startswith(
        "clipped: 3 or more samples in a row are at full scale in 2 places, and more than 0"
    )


SOUNDS = ("heavy rain", "church bell", "footsteps on gravel", "bird chirps", "engine hum", "glass breaking")


@pytest.mark.parametrize("prompt", SOUNDS)
def test_two_takes_are_not_alike_and_one_is_to_itself(prompt: str) -> None:
    """Also when it came through MP3, upside down, louder, later, at another rate."""
    one = clip(prompt, "1")
    first = fingerprint(one, RATE)
    assert likeness(first, fingerprint(clip(prompt, "2"), RATE)) < 0.6
    assert likeness(first, fingerprint(np.pad(clip(prompt, "1", "mp3") * -0.3, ((4321, 77), (0, 0))), RATE)) > 0.98
    assert likeness(first, fingerprint(np.repeat(one, 2, axis=0), 2 * RATE)) > 0.98


def test_noises_and_other_rhythms_are_not_alike() -> None:
    """Two noises have little in common, and tones of one pitch as much as they sound together; silence nothing."""
    noises = [np.random.default_rng(seed).standard_normal((RATE, 1)).astype(np.float32) for seed in (1, 2)]
    assert likeness(*(fingerprint(noise, RATE) for noise in noises)) < 0.1
    beeps = [
        np.where(np.isin((TIME * 10).astype(int), at), TONE, 0).astype(np.float32) for at in ([1, 5, 9], [1, 7, 15])
    ]
    assert likeness(*(fingerprint(beep, RATE) for beep in beeps)) < 0.8
    silence = fingerprint(np.zeros((RATE, 2), np.float32), RATE)
    assert likeness(silence, silence) == 0


def test_what_is_alike_is_named() -> None:
    """With the likeness, and what it is alike to."""
    one = fingerprint(TONE.astype(np.float32), RATE)
    found = alike(one, one, {"over": 0.98, "then": "warn"}, name="take 1")
    assert found is not None
    assert found.words == "alike: it is to 100.0% the same sound as take 1, and over 98% counts as alike"
    assert alike(one, one, {"over": 1, "then": "warn"}, name="take 1") is None
