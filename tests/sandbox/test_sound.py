"""The sounds: real files, audible, and as the words say."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.recipes import RECIPES, WORDS
from kling_batch.sandbox.sound import recipes_for, synthesise
from tests.quick_clips import quick_clip

Make: TypeAlias = Callable[[ClipSpec], bytes]

SPEC = ClipSpec(prompt="rain", duration_s=3.0, audio_format="wav", seed="a", sample_rate=16_000)
PROMPTS = ["rain", "thunder", "wind", "waves", "river", "fire", "bell", "engine", "footsteps", "bird", "whistle"]
PROMPTS += ["fireworks", "creaking", "glass", "applause", "clock", "siren", "laser", "drums", "strings", "speech"]
PROMPTS += ["barking", "crickets", "trumpet", "whoosh", "Qwrtz!", "", "雨の音"]


def samples(spec: ClipSpec) -> NDArray[Any]:
    return np.asarray(soundfile.read(io.BytesIO(synthesise(spec)))[0])


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_prompt_is_audible_and_clean(prompt: str) -> None:
    """Loud enough to hear, no clipping, no offset, and quiet ends, whatever the words."""
    sound = samples(replace(SPEC, prompt=prompt))
    assert sound.shape == (48_000, 2)
    assert 0.7 < np.abs(sound).max() < 0.9
    assert np.sqrt((sound**2).mean()) > 0.01
    assert np.abs(sound.mean(axis=0)).max() < 0.01
    assert np.abs(sound[[0, -1]]).max() < 0.01


def test_every_recipe_is_called_for() -> None:
    """Each word of a recipe calls for it alone, and every recipe is among the prompts here."""
    for name, words in WORDS.items():
        assert [recipes_for(word) for word in words.split()] == [[name]] * len(words.split())
    assert {name for prompt in PROMPTS for name in recipes_for(prompt)} == RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_both_formats_are_one_sound(name: str) -> None:
    """What is decoded from the MP3 is the WAV, 30 dB below full scale and 15 below the sound; it does not clip."""
    wav, mp3 = both_formats(synthesise, replace(SPEC, prompt=WORDS[name].split()[0], sample_rate=44_100))
    assert decibels(wav - mp3) < min(-30, decibels(wav) - 15)
    assert max(np.abs(wav).max(), np.abs(mp3).max()) < 1


def test_quick_clips_are_one_sound_too() -> None:
    """A simulation's clips are decoded from MP3 as from WAV."""
    wav, mp3 = both_formats(quick_clip, replace(SPEC, sample_rate=8000))
    assert decibels(wav - mp3) < -30


def both_formats(make: Make, spec: ClipSpec) -> tuple[NDArray[Any], NDArray[Any]]:
    """Decode a clip's WAV and MP3, the latter moved to where it is most like the former, less their ends."""
    wav, mp3 = (
        soundfile.read(io.BytesIO(make(replace(spec, audio_format=name))), always_2d=True)[0][:, 0]
        for name in ("wav", "mp3")
    )
    likeness = np.fft.irfft(np.fft.rfft(mp3) * np.fft.rfft(wav).conj(), len(wav))
    return wav[2000:-2000], np.roll(mp3, -int(likeness.argmax()))[2000:-2000]


def decibels(sound: NDArray[Any]) -> float:
    return float(10 * np.log10(np.mean(sound**2)))


def test_a_whistle_glides() -> None:
    """Its pitch has no steps: in a hundredth of a second it moves by less than a twelfth of an octave."""
    spectrum = np.fft.fft(samples(replace(SPEC, prompt="whistle"))[:, 0])
    spectrum[len(spectrum) // 2 :] = 0
    phase = np.unwrap(np.angle(np.fft.ifft(spectrum)))
    pitch = np.log2(np.diff(phase[1600:-1600:160]))
    assert np.ptp(pitch) > 0.3
    assert np.abs(np.diff(pitch)).max() < 1 / 12


@pytest.mark.parametrize("make", [synthesise, quick_clip])
@pytest.mark.parametrize("duration", [3.0, 3.3, 7.7, 10.0])
@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_files_are_real_and_as_long_as_asked(make: Make, duration: float, audio_format: str) -> None:
    """What is called MP3 is MP3, and the decoded length is exact."""
    spec = replace(SPEC, duration_s=duration, audio_format=audio_format, sample_rate=44_100)
    file = io.BytesIO(make(spec))
    info = soundfile.info(file)
    assert (info.format, info.frames) == (audio_format.upper(), round(duration * 44_100))


@pytest.mark.parametrize("make", [synthesise, quick_clip])
@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_bytes_follow_from_the_spec(make: Make, audio_format: str) -> None:
    """The same spec gives the same bytes; another take or another prompt gives others."""
    spec = replace(SPEC, audio_format=audio_format)
    first = make(spec)
    other = make(replace(spec, seed="b"))
    assert make(replace(spec)) == first
    assert len({first, other, make(replace(spec, prompt="rainy"))}) == 3


def test_two_takes_differ_to_the_ear() -> None:
    """Another take is not the same sound with other noise in it: its events are elsewhere."""
    one, other = (samples(replace(SPEC, prompt="footsteps", seed=seed))[:, 0] for seed in "ab")
    assert abs(np.corrcoef(np.abs(one), np.abs(other))[0, 1]) < 0.5


def flatness(prompt: str) -> float:
    """Measure how much like noise a sound is: near 0 for tones, towards 1 for noise."""
    spectrum = np.abs(np.fft.rfft(samples(replace(SPEC, prompt=prompt))[:, 0])) ** 2 + 1e-12
    return float(np.exp(np.log(spectrum).mean()) / spectrum.mean())


def centre(prompt: str) -> float:
    """Measure where the middle of a sound's energy is, in hertz."""
    spectrum = np.abs(np.fft.rfft(samples(replace(SPEC, prompt=prompt))[:, 0])) ** 2
    return float((spectrum * np.linspace(0, 8000, len(spectrum))).sum() / spectrum.sum())


def test_words_choose_what_it_sounds_like() -> None:
    """Rain is noise and a bell is tones; a bird is high and thunder is low."""
    assert flatness("rain") > 20 * flatness("bell")
    assert centre("bird") > 10 * centre("thunder")


def test_adjectives_bend_the_pitch() -> None:
    """A tiny bell is higher than a huge one."""
    assert centre("tiny bell") > 1.5 * centre("huge bell")


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("Old oak tavern door creaks open slowly", ["creak", "babble"]),
        ("Footsteps of leather boots on wet stone", ["footsteps"]),
        ("Rain on a window, thunder far away", ["rain", "glass", "thunder"]),
        ("A beep, many times", ["beeps"]),
        ("Birds whistling over the sea in the wind while it rains", ["bird", "whistle", "waves"]),
    ],
)
def test_several_words_are_layered(prompt: str, names: list[str]) -> None:
    """The first words count, in their order, at most three, and each in any of its forms."""
    assert recipes_for(prompt) == names
