"""Finished sounds, as other programs read and hear them."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.finish import heard, measured
from kling_batch.delivery.finish import Made, Unfinishable, finish_sound, tags_of
from kling_batch.model import Job, Source, Take

RATE = 44_100
FORMATS = ("wav", "flac", "ogg", "opus", "mp3", "aiff")
CHANCE = np.random.default_rng(7)
NOISE = CHANCE.standard_normal((3 * RATE, 2)) * 0.1
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed, the judge of sound")
TAKE = Take(
    job=Job(
        project="Tavern", id="door-creak", kind="any", request={}, formats=("wav",), source=Source(path="", line=1)
    ),
    number=2,
    edition=1,
    stem="door-creak-02",
)
PROMPT = 'An old door, "slowly" ; très près, 扉'

Finish = Callable[..., Made]


@pytest.fixture
def finish(tmp_path: Path) -> Finish:
    """Write samples as a source, and finish it."""

    def run(
        samples: Any, recipe: dict[str, Any], *, rate: int = RATE, subtype: str = "FLOAT", wav: str = "WAV", **tags: str
    ) -> Made:
        source = tmp_path / "source.wav"
        soundfile.write(source, samples, rate, subtype, format=wav)
        return finish_sound(source, {"formats": ["wav"], **recipe}, folder=tmp_path, name="made", tags=tags)

    return run


def samples_of(made: Made) -> tuple[Any, int]:
    samples, rate = soundfile.read(made.files[0].path, dtype="float32", always_2d=True)
    return samples, rate


def in_decibels(ratio: float) -> float:
    return 20 * math.log10(ratio)


@needs_ffmpeg
@pytest.mark.parametrize("number", range(12))
def test_sounds_come_out_as_loud_as_they_shall(number: int, tmp_path: Path) -> None:
    """To ffmpeg's ear, within 0.5 LU or with a note, and never above the ceiling, whatever they were and become."""
    formats = (FORMATS[number % 6], FORMATS[(number // 2 + 3) % 6])
    assert [one for one in heard(number, tmp_path, tuple(dict.fromkeys(formats))) if not one.right] == []


@needs_ffmpeg
@pytest.mark.parametrize("audio_format", FORMATS)
def test_other_programs_read_what_is_made(audio_format: str, tmp_path: Path, finish: Finish) -> None:
    """Sample rate, channels and length to the sample, and every text tag, in scripts of all the world."""
    made = finish(NOISE, {"formats": [audio_format], "sample_rate": 48_000}, **tags_of(TAKE, PROMPT, "task-9"))
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", str(made.files[0].path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    stream = found["streams"][0]
    assert (stream["sample_rate"], stream["channels"]) == ("48000", 2)
    texts = {key.lower(): text for part in (stream, found["format"]) for key, text in part.get("tags", {}).items()}
    wanted = {"title": "door-creak:2", "comment": PROMPT, "album": "Tavern", "track": "2", "artist": "task task-9"}
    assert {key: texts.get(key) for key in wanted} == wanted
    assert any("made by kling-batch" in text for text in texts.values())
    decoded = tmp_path / "decoded.wav"
    subprocess.run(["ffmpeg", "-v", "error", "-i", made.files[0].path, decoded], check=True)
    assert abs(soundfile.info(decoded).frames - 3 * 48_000) <= (2500 if audio_format == "mp3" else 0)
    assert made.files[0].record.duration_s == 3.0


@pytest.mark.parametrize("text", ["扉" * 5000, "torn \ud800 half", "null\0 and\nline"])
def test_any_text_can_stand_in_a_tag(text: str, finish: Finish) -> None:
    """However long it is, and whatever a program put there: the sound is read all the same."""
    for file in finish(NOISE[:9000], {"formats": FORMATS}, comment=text).files:
        assert soundfile.info(file.path).frames > 8000


def test_tags_are_left_out_where_that_is_wanted(finish: Finish) -> None:
    """All of them, or what made the file alone."""
    told = tags_of(TAKE, PROMPT, None)
    without = finish(NOISE, {"formats": ["flac"], "made_by": False}, **told).files[0].path.read_bytes()
    assert b"Tavern" in without
    assert b"made by" not in without
    assert b"Tavern" not in finish(NOISE, {"formats": ["flac"], "tags": False}, **told).files[0].path.read_bytes()


def test_the_same_sound_gives_the_same_bytes(tmp_path: Path, finish: Finish) -> None:
    """In every format, also in another process: there is no random number in it, and no date."""
    recipe = {"formats": FORMATS, "loudness": -18, "true_peak": -1, "bits": "float"}
    tags = tags_of(TAKE, PROMPT, "1")
    here = {file.record.format: file.record.sha256 for file in finish(NOISE, recipe, **tags).files}
    code = (
        "import sys, json, pathlib; from kling_batch.delivery.finish import finish_sound; a = json.loads(sys.argv[1]);"
        "f = pathlib.Path(a[0]); made = finish_sound(f / 'source.wav', a[1], folder=f, name='other', tags=a[2]);"
        "print(json.dumps({file.record.format: file.record.sha256 for file in made.files}))"
    )
    command = [sys.executable, "-c", code, json.dumps([str(tmp_path), recipe, tags])]
    there = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert there == here
    assert here["ogg"] == hashlib.sha256((tmp_path / "other.ogg").read_bytes()).hexdigest()
    for audio_format in ("wav", "aiff"):
        written = (tmp_path / f"other.{audio_format}").read_bytes()
        date = written.index(b"PEAK") + 12
        assert written[date : date + 4] == bytes(4)


BRIEF = NOISE[:20_000]
BAD: dict[str, tuple[Any, dict[str, Any]]] = {
    "eight channels": (CHANCE.standard_normal((9000, 8)) * 0.1, {}),
    "one sample": (np.array([0.5]), {}),
    "two samples": (np.array([0.5, -0.1]), {}),
    "nothing": (np.zeros((0, 2)), {}),
    "no number": (np.array([0.1, math.nan] * 4000), {}),
    "infinite": (np.array([0.1, math.inf] * 4000), {}),
    "huge": (BRIEF * 1e30, {}),
    "tiny": (BRIEF * 1e-20, {}),
    "too loud": (BRIEF * 50, {}),
    "silence": (np.zeros((RATE, 2)), {}),
    "an offset alone": (np.full((RATE, 2), 0.3), {}),
    "96 kHz": (BRIEF, {"rate": 96_000}),
    "192 kHz": (BRIEF, {"rate": 192_000}),
    "7 Hz": (BRIEF[:100], {"rate": 7}),
    "24 bits, extensible": (BRIEF, {"wav": "WAVEX", "subtype": "PCM_24"}),
    "8 bits": (BRIEF, {"subtype": "PCM_U8"}),
}
RECIPES: tuple[dict[str, Any], ...] = (
    {"loudness": -18, "true_peak": -1},
    {"peak": -3, "true_peak": -1, "sample_rate": 48_000, "channels": 1},
    {"trim": {"below": -50, "keep": 0.01}, "fade": {"in": 0.005, "out": 0.05}, "channels": 2},
    {"loop": {"crossfade": 0.2}, "loudness": -30, "true_peak": -1, "bits": 24},
)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_bad_sound_is_finished_or_refused(name: str, recipe: dict[str, Any], finish: Finish) -> None:
    """In every format: with a reason, without a crash, and with no sample that is no number."""
    samples, options = BAD[name]
    for audio_format in FORMATS:
        reason = None
        try:
            found, _ = samples_of(finish(samples, {**recipe, "formats": [audio_format]}, **options))
        except Unfinishable as error:
            reason = str(error)
        assert reason or (len(found) and np.isfinite(found).all())


@pytest.mark.parametrize(
    ("name", "recipe", "words"),
    [
        ("nothing", {}, "there is no sound in it"),
        ("no number", {}, "samples that are no numbers"),
        ("eight channels", {"channels": 2}, "8 channels"),
        ("eight channels", {"formats": ["mp3"]}, "mp3 cannot hold 8 channels at 44100 Hz"),
    ],
)
def test_what_cannot_be_finished_has_a_reason(name: str, recipe: dict[str, Any], words: str, finish: Finish) -> None:
    """One that a person understands."""
    with pytest.raises(Unfinishable, match=words):
        finish(BAD[name][0], recipe)


@pytest.mark.parametrize("data", [b"", b"not a sound", b"RIFF\0\0\0\0WAVE", b"<html>"])
def test_what_is_no_sound_is_refused(data: bytes, tmp_path: Path) -> None:
    """A page, a torn header, nothing at all."""
    (tmp_path / "source").write_bytes(data)
    with pytest.raises(Unfinishable):
        finish_sound(tmp_path / "source", {"formats": ["wav"]}, folder=tmp_path, name="made", tags={})


def test_eight_channels_stay_where_a_format_has_them(finish: Finish) -> None:
    """As they are, without `channels`; and their mean with it."""
    eight = BAD["eight channels"][0]
    assert samples_of(finish(eight, {"bits": "float"}))[0] == pytest.approx(eight, abs=1e-6)
    assert samples_of(finish(eight, {"channels": 1, "bits": "float"}))[0][:, 0] == pytest.approx(
        eight.mean(1), abs=1e-6
    )
    assert samples_of(finish(eight[:, :1], {"channels": 2}))[0].shape == (9000, 2)


def test_silence_is_cut_from_both_ends(finish: Finish) -> None:
    """What is below the threshold, but for what is kept; where all is, nothing is cut, and a note says so."""
    sound = np.full(RATE, 0.001)
    sound[10_000:20_000] = 0.5
    cut = finish(sound, {"trim": {"below": -50, "keep": 0.01}})
    assert (len(samples_of(cut)[0]), cut.notes) == (10_000 + 2 * 441, ())
    assert cut.files[0].shape.start_s == (10_000 - 441) / RATE
    whole = finish(sound * 0.001, {"trim": {"below": -50, "keep": 0.01}})
    assert (len(samples_of(whole)[0]), len(whole.notes)) == (RATE, 1)


def test_fades_begin_and_end_at_nothing(finish: Finish) -> None:
    """Within their lengths alone; in a short sound they are shortened, and a note says so."""
    made, _ = samples_of(finish(np.full(RATE, 0.5), {"fade": {"in": 0.1, "out": 0.2}}))
    assert (made[0, 0], made[-1, 0]) == (0, 0)
    assert np.all(made[4410:-8820] == 0.5)
    assert np.all(np.diff(made[:4410, 0]) >= 0)
    short = finish(np.full(441, 0.5), {"fade": {"in": 0.1, "out": 0.2}})
    assert "shortened to 3 %" in short.notes[0]


@pytest.mark.parametrize("recipe", [{}, {"sample_rate": 48_000}])
def test_a_loop_has_no_seam(recipe: dict[str, Any], finish: Finish) -> None:
    """Its end runs into its start as smoothly as its samples follow each other, also at another rate."""
    at = np.arange(2 * RATE) / RATE
    sound = 0.5 * np.sin(2 * np.pi * 217.3 * at) * (0.4 + 0.3 * at) + 0.2 * np.sin(2 * np.pi * 1234.5 * at)
    made = finish(sound, {"loop": {"crossfade": 0.25}, "fade": {"in": 1, "out": 1}, "bits": "float", **recipe})
    samples, rate = samples_of(made)
    assert len(samples) == round(1.75 * rate)
    around = np.concatenate([samples[-200:, 0], samples[:200, 0]])
    bends = np.abs(np.diff(around, 2))
    assert bends[196:202].max() <= 1.05 * np.abs(np.diff(samples[:, 0], 2)).max()
    assert "shortened to half" in finish(sound[:1000], {"loop": {"crossfade": 0.25}}).notes[0]


def test_a_peak_is_what_was_asked_for(finish: Finish) -> None:
    """In dBFS, of the largest sample, and lower where the true peak would pass its ceiling: then a note says so."""
    low = finish(NOISE, {"peak": -6, "true_peak": -1})
    assert in_decibels(float(np.abs(samples_of(low)[0]).max())) == pytest.approx(-6, abs=0.01)
    assert low.notes == ()
    high = finish(NOISE, {"peak": 0, "true_peak": -1})
    assert in_decibels(high.files[0].shape.true_peak or 0) == pytest.approx(-1, abs=0.01)
    assert "and not 0: louder, its true peak would be over -1 dBTP" in high.notes[0]


@needs_ffmpeg
@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.25, 0.39])
def test_a_short_sound_is_levelled_by_its_loudest_moment(seconds: float, finish: Finish) -> None:
    """What ffmpeg finds once silence follows it for long enough to be measured; and a note says so."""
    made = finish(NOISE[: int(seconds * RATE)], {"loudness": -30, "true_peak": -1, "bits": 24})
    assert measured(made.files[0].path, "apad=whole_dur=0.4")[0] == pytest.approx(-30, abs=0.2)
    assert "shorter than 0.4 s" in made.notes[0]


def test_quiet_sounds_are_measured_too(finish: Finish) -> None:
    """A sound below the gate of the standard at -70 LUFS is levelled all the same; silence is left as it is."""
    made = finish(NOISE * 1e-4, {"loudness": -18, "true_peak": -1})
    assert made.before.loudness is None
    assert made.files[0].shape.loudness == pytest.approx(-18)
    assert finish(np.zeros(RATE), {"loudness": -18, "true_peak": -1}).notes == (
        "loudness: it is silent, so its level was left as it is",
    )


def test_what_is_clipped_is_named(finish: Finish) -> None:
    """A source over full scale, and nothing in the recipe that would lower it."""
    assert "over full scale, where they are clipped" in finish(NOISE * 20, {}).notes[0]
    assert finish(NOISE * 20, {"bits": "float"}).notes == ()
    assert finish(NOISE * 20, {"true_peak": -1}).notes == ()


def test_a_missing_extra_is_named(finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for another rate is told what to install; who does not needs nothing."""
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert finish(NOISE, {"loudness": -18}).files
    with pytest.raises(Unfinishable, match=r"kling-batch\[finish\]"):
        finish(NOISE, {"formats": ["opus"]})
