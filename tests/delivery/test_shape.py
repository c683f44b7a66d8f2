"""What a sound looks like and how loud it is, held against the standard's own way of working it out."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile

from benchmarks.finish import measured
from kling_batch.delivery.shape import BUCKETS, biquads, shape_of
from kling_batch.delivery.verify import Verified, verify_audio

RATE = 44_100
TIME = np.arange(3 * RATE) / RATE
CHANCE = np.random.default_rng(6)


def tone(hertz: float, amplitude: float = 0.1) -> Any:
    return amplitude * np.sin(2 * np.pi * hertz * TIME)


def with_pause() -> Any:
    """Make half a second of noise, then two and a half of something far softer, which the gate leaves out."""
    noise = 0.2 * CHANCE.standard_normal(len(TIME))
    return np.where(TIME < 0.5, noise, noise * 0.001)


SOUNDS = {
    "deep": tone(30),
    "low": tone(60),
    "middle": tone(997),
    "high": tone(10_000),
    "noise": 0.1 * CHANCE.standard_normal(len(TIME)),
    "click": (np.arange(len(TIME)) == 60_000).astype(float),
    "fading": 0.3 * CHANCE.standard_normal(len(TIME)) * np.exp(-5 * TIME),
    "pause": with_pause(),
    "offset": 0.2 + tone(300, 0.05),
    "two": np.stack([tone(440), 0.3 * CHANCE.standard_normal(len(TIME))], axis=1),
    "short": 0.1 * CHANCE.standard_normal(9000),
}


def filtered(coefficients: tuple[float, ...], samples: list[float]) -> list[float]:
    """Filter sample by sample, as the standard draws it."""
    b0, b1, b2, a1, a2 = coefficients
    first = second = 0.0
    out = []
    for sample in samples:
        value = b0 * sample + first
        first, second = b1 * sample - a1 * value + second, b2 * sample - a2 * value
        out.append(value)
    return out


def loudness_by_the_book(samples: Any, rate: int) -> float:
    """Measure BS.1770-4's integrated loudness without any shortcut; a short sound has silence after it."""
    step = rate // 10
    samples = np.pad(samples, ((0, max(0, 4 * step - len(samples))), (0, 0)))
    power = np.zeros(len(samples))
    for channel in samples.T:
        shelf, rumble = biquads(rate)
        power += np.square(filtered(rumble, filtered(shelf, channel.tolist())))
    width = 4 * step
    starts = range(0, len(power) - width + 1, step)
    blocks = np.array([power[start : start + width].mean() for start in starts])
    heard = blocks[blocks > 10 ** ((-70 + 0.691) / 10)]
    loud = heard[heard > heard.mean() / 10]
    return float(-0.691 + 10 * math.log10(loud.mean()))


def columns(samples: Any) -> Any:
    return samples.reshape(len(samples), -1).astype(np.float32)


@pytest.mark.parametrize("name", SOUNDS)
def test_loudness_is_that_of_the_standard(name: str) -> None:
    """Within 0.01 LU of filtering sample by sample: tones, noise, clicks, pauses, an offset, stereo and short ones."""
    samples = columns(SOUNDS[name])
    found = shape_of(samples, RATE).loudness
    assert found is not None
    assert abs(found - loudness_by_the_book(samples, RATE)) < 0.01


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed, the judge of sound")
@pytest.mark.parametrize("name", ["middle", "noise", "fading", "pause", "two", "rumble"])
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_other_meters_agree(name: str, rate: int, tmp_path: Path) -> None:
    """Within 0.1 LU of pyloudnorm and of ffmpeg's `ebur128`, whose true peak is within 0.2 dB."""
    spectrum = np.fft.rfft(np.cumsum(CHANCE.standard_normal(len(TIME))))
    rumble = np.fft.irfft(np.where(np.arange(len(spectrum)) < 9, 0, spectrum), len(TIME))
    samples = columns(rumble / 2000 if name == "rumble" else SOUNDS[name])[: 2 * rate]
    samples[-4410:] *= np.linspace(1, 0, 4410, dtype=np.float32)[:, None]
    found = shape_of(samples, rate)
    assert found.loudness == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(samples), abs=0.1)
    path = tmp_path / "sound.wav"
    soundfile.write(path, samples, rate, "FLOAT")
    loudness, true_peak = measured(path)
    assert found.loudness == pytest.approx(loudness, abs=0.1)
    assert 20 * math.log10(found.true_peak or 1) == pytest.approx(true_peak, abs=0.2)


def test_the_filters_are_those_that_the_standard_prints() -> None:
    """BS.1770-4 gives them for 48 kHz."""
    shelf, rumble = biquads(48_000)
    printed = (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585)
    assert shelf == pytest.approx(printed, abs=1e-8)
    assert rumble == pytest.approx((1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621), abs=1e-8)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_known_tone_has_its_known_loudness(rate: int) -> None:
    """A sine of 997 Hz at full scale in one channel is -3.01 LUFS, at any rate."""
    sine = np.sin(2 * np.pi * 997 * np.arange(3 * rate) / rate)
    assert shape_of(columns(sine), rate).loudness == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("length", [1, 100, 4409, 4410, 20_000])
def test_silence_has_no_loudness(length: int) -> None:
    """Nothing passes the gate, and nothing is divided by nothing."""
    shape = shape_of(np.zeros((length, 2), np.float32), RATE)
    assert (shape.peak, shape.loudness, shape.waveform) == (0.0, None, bytes(BUCKETS))


@pytest.mark.parametrize("period", [3, 4, 6, 11.7])
def test_a_true_peak_lies_between_samples(period: float) -> None:
    """A tone is as large as it is however its samples fall: within 0.3 dB, more than the standard asks for."""
    phases = 2 * np.pi * np.arange(9000) / period + np.pi / period
    loud = np.sin(phases) * np.linspace(0.1, 0.7, 9000)
    found = shape_of(columns(np.stack([loud, loud / 3], axis=1)), RATE)
    assert found.true_peak is not None
    assert abs(20 * math.log10(found.true_peak / 0.7)) < 0.3
    assert found.true_peak >= found.peak


def test_a_shape_says_what_kind_of_sound_it_is() -> None:
    """Its sample rate and its channels."""
    found = shape_of(np.zeros((500, 2), np.float32), RATE)
    assert (found.rate, found.channels, found.true_peak) == (RATE, 2, 0.0)


def test_a_waveform_shows_where_it_is_loud() -> None:
    """The largest sample of each part, of all channels, the largest of all being 255."""
    samples = np.zeros((24_000, 2), np.float32)
    samples[400:600, 0] = -0.5
    samples[12_100, 1] = 0.25
    shape = shape_of(samples, 8000)
    assert shape.peak == 0.5
    assert [(column, level) for column, level in enumerate(shape.waveform) if level] == [(2, 255), (60, 128)]


def test_a_sound_of_few_samples_has_a_whole_waveform() -> None:
    """Fewer samples than columns are no trouble."""
    assert set(shape_of(np.full((7, 1), 0.5, np.float32), 8000).waveform) == {255}


def test_few_samples_are_each_shown() -> None:
    """Each column shows the sample that is there."""
    samples = columns(np.array([0.25, -0.5, 0.75, 0.0, 1.0]))
    assert list(dict.fromkeys(shape_of(samples, 8000).waveform)) == [64, 128, 192, 0, 255]


def test_columns_are_cut_to_the_sample() -> None:
    """A column begins where its share of the sound does."""
    samples = np.zeros((12_000, 1), np.float32)
    samples[[0, 199, 300, 11_999]] = 1.0
    assert [column for column, level in enumerate(shape_of(samples, 8000).waveform) if level] == [0, 1, 3, 119]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_sound_is_looked_at_where_that_is_asked_for(tmp_path: Any, wanted: bool) -> None:
    """While it is verified, from the same samples; where nobody asks it costs nothing."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(997, 0.5), RATE)
    found = verify_audio(path, audio_format="wav", requested_s=3.0, with_shape=wanted)
    assert isinstance(found, Verified)
    assert (found.shape is not None) is wanted
    if found.shape is not None:
        assert found.shape.peak == found.peak
        assert found.shape.loudness == pytest.approx(-9.03, abs=0.1)


@pytest.mark.parametrize("rate", [1, 20, 2_000_000_000])
def test_a_rate_that_no_sound_has_is_not_looked_at(tmp_path: Any, rate: int) -> None:
    """A file can state any rate: it is judged all the same, at once and without a gigabyte."""
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.full(60, 0.5), rate)
    found = verify_audio(path, audio_format="wav", requested_s=60 / rate, with_shape=True)
    assert isinstance(found, Verified)
    assert found.shape is None
