"""Recipes and checks: what is said in several places becomes one recipe, complete; and paths that differ by format."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_batch.errors import ManifestInvalid
from kling_batch.manifest import load

Write = Callable[[str, str], Path]
ALL = """\
version: 1
project: p
defaults:
  finish:
    trim: {below: -50, keep: 0.01}       # dBFS; silence cut from both ends, seconds kept
    fade: {in: 0.005, out: 0.05}         # seconds
    loudness: -18                        # LUFS, integrated
    true_peak: -1.0                      # dBTP, never above
    channels: 1
    sample_rate: 48000
    formats: [ogg, flac, wav]
    loop: {crossfade: 0.2}               # seamless, for beds
  check:
    silent: fail
    clipped: warn
    quiet: {below: -45, then: warn}
    leading_silence: {over: 0.3, then: warn}
    dc_offset: warn
    alike: {over: 0.98, then: warn}
jobs:
  - {id: beep, prompt: x, finish: {loudness: off}}
  - {id: bed, prompt: x}
"""
WAV = {"formats": ["wav"], "bits": 16}
RECIPE = {
    "trim": {"below": -50, "keep": 0.01},
    "loop": {"crossfade": 0.2},
    "channels": 1,
    "sample_rate": 48000,
    "loudness": -18,
    "true_peak": -1,
    "bits": 16,
    "formats": ["ogg", "flac", "wav"],
}
CHECKS = {
    "silent": {"below": -60, "then": "fail"},
    "clipped": {"over": 0, "then": "warn"},
    "quiet": {"below": -45, "then": "warn"},
    "leading_silence": {"over": 0.3, "then": "warn"},
    "dc_offset": {"over": 0.01, "then": "warn"},
    "alike": {"over": 0.98, "then": "warn"},
}


def test_every_field_of_a_recipe_and_every_check_is_taken(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop has no fades, what is off is left out, and every check has its figure."""
    monkeypatch.setitem(sys.modules, "soxr", sys)
    beep, bed = load(write("m.yaml", ALL)).jobs
    assert bed.finish == RECIPE
    assert beep.finish == {name: value for name, value in RECIPE.items() if name != "loudness"}
    assert beep.check == CHECKS
    assert bed.outputs == ("ogg", "flac", "wav")


@pytest.mark.parametrize(
    ("defaults", "own", "expected"),
    [
        ({"loudness": -18}, None, {"loudness": -18, "true_peak": -1, **WAV}),
        ({"loudness": -18}, {"peak": -3, "true_peak": "off"}, {"peak": -3, **WAV}),
        (
            {"loudness": -18},
            {"peak": False, "formats": ["mp3"]},
            {"loudness": -18, "true_peak": -1, "formats": ["mp3"]},
        ),
        ({"trim": {"below": -50}}, {"trim": {"keep": 1}}, {"trim": {"below": -50, "keep": 1}, **WAV}),
        ({"trim": "off"}, {"trim": {}}, {"trim": {"below": -60, "keep": 0}, **WAV}),
        ({"fade": {"in": 1}}, {"fade": {"in": 0}}, {}),
        ({"bits": 24}, {"formats": ["ogg"]}, {"formats": ["ogg"]}),
        ({"bits": 24}, {"bits": "off", "channels": 1}, {"channels": 1, **WAV}),
        ({"channels": 1}, "off", {}),
        ("off", {"channels": 2}, {"channels": 2, **WAV}),
        ({"channels": 1}, {"tags": False, "made_by": False}, {"channels": 1, "tags": False, **WAV}),
        ({"channels": 1, "made_by": False}, {"tags": True}, {"channels": 1, "made_by": False, **WAV}),
        ({"tags": False, "true_peak": "off"}, None, {}),
    ],
)
def test_what_a_job_says_is_laid_over_the_defaults(
    as_json: Callable[[Any], Path], defaults: Any, own: Any, expected: dict[str, Any]
) -> None:
    """Figure by figure; a job's loudness or peak takes the place of the other, and nothing is left of what is off."""
    job = {"id": "a", "prompt": "x", **({} if own is None else {"finish": own})}
    found = load(as_json({"version": 1, "project": "p", "defaults": {"finish": defaults}, "jobs": [job]})).jobs[0]
    assert found.finish == expected


@pytest.mark.parametrize(("one", "other"), [("-18", "-18.0"), ("0", "-0.0"), ("-18.50", "-18.5")])
def test_a_number_has_one_form(write: Write, one: str, other: str) -> None:
    """A recipe that is written otherwise is the same recipe, to the byte."""
    text = "version: 1\nproject: p\njobs:\n  - {{id: a, prompt: x, finish: {{loudness: {}}}}}\n"
    made = [json.dumps(load(write("m.yaml", text.format(number))).jobs[0].finish) for number in (one, other)]
    assert made[0] == made[1]


def test_a_check_s_short_form_keeps_the_figure_of_the_defaults(as_json: Callable[[Any], Path]) -> None:
    """`quiet: fail` over `{below: -30}` fails below -30; `off` takes a check away, or all of them."""
    defaults = {"check": {"quiet": {"below": -30}, "silent": {"then": "fail"}, "clipped": "warn"}}
    jobs = [
        {"id": "a", "prompt": "x", "check": {"quiet": "fail", "silent": "off", "clipped": False}},
        {"id": "b", "prompt": "x", "check": "off"},
    ]
    a, b = load(as_json({"version": 1, "project": "p", "defaults": defaults, "jobs": jobs})).jobs
    assert a.check == {"quiet": {"below": -30, "then": "fail"}}
    assert b.check == {}


def test_defaults_of_a_kind_and_of_a_table_are_laid_over_those_of_all(write: Write) -> None:
    """A row of a table can say `off`; an empty cell says nothing. A video stays as it is delivered."""
    write("t.csv", "id,prompt,finish,check\na,x,,\nb,x,off,off\n")
    manifest = load(
        write(
            "m.yaml",
            "version: 1\nproject: p\n"
            "defaults:\n  finish: {channels: 1, loudness: -18}\n  check: {quiet: warn}\n"
            "  text-to-speech: {voice_id: v, finish: {loudness: -23}, check: off, meta: {who: v}}\n"
            "jobs:\n  - {from: t.csv, finish: {channels: 2}, check: {quiet: fail}}\n"
            "  - {id: c, kind: text-to-speech, text: x, meta: {what: w}}\n"
            "  - {id: d, kind: video-to-audio, video_id: '1', formats: [mp4, wav], finish: {formats: [ogg]}}\n",
        )
    )
    a, b, c, d = manifest.jobs
    assert (a.finish["channels"], a.finish["loudness"], a.check["quiet"]["then"]) == (2, -18, "fail")
    assert (b.finish, b.check, b.outputs) == ({}, {}, ("wav",))
    assert (c.finish["channels"], c.finish["loudness"], c.finish["formats"], c.check) == (1, -23, ["mp3"], {})
    assert c.meta == {"who": "v", "what": "w"}
    assert (d.formats, d.as_delivered, d.outputs) == (("mp4", "wav"), ("mp4",), ("ogg", "mp4"))


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        ("{sample_rate: 48000}", "5:52: `finish.sample_rate` needs the extra `finish`"),
        ("{formats: [wav, opus]}", "5:48: `opus` in `finish.formats` needs the extra `finish`"),
    ],
)
def test_a_recipe_that_nothing_here_can_make_is_told(
    write: Write,
    problems: Callable[[Path], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    finish: str,
    words: str,
) -> None:
    """Before anything is paid, with what to install; once for all jobs of which the same is said."""
    monkeypatch.setitem(sys.modules, "soxr", None)
    text = f"version: 1\nproject: p\njobs:\n  - {{id: a, prompt: x}}\n  - {{id: 'b-{{n}}', prompt: x, finish: {finish}"
    found = problems(write("m.yaml", f"{text}, matrix: {{n: [u, v]}}}}\n"))
    assert found == [f"{words}, which is not installed: pip install 'kling-batch[finish]'"]


def test_a_path_can_differ_by_format(jobs: Callable[[str], Any]) -> None:
    """The formats that stand under the output folder are filled in, for the chosen take, too."""
    manifest = jobs(
        "  - {id: a, prompt: x, formats: [wav, mp3], file: '{format}/{id}-{take}', picked: 'best-{format}/{id}'}\n"
        "  - {id: b, prompt: x, finish: {formats: [ogg]}, file: '{id}_{format}'}"
    )
    a, b = manifest.takes
    assert [a.path(name) for name in a.job.outputs] == ["wav/a-1.wav", "mp3/a-1.mp3"]
    assert a.job.picked_path("mp3") == "best-mp3/a.mp3"
    assert [b.path(name) for name in b.job.outputs] == ["b_ogg.ogg"]


def test_all_files_can_stand_in_one_folder(write: Write) -> None:
    """A `/` becomes a `_`; what was two paths and becomes one is told."""
    text = "version: 1\nproject: p\njobs:\n  - {id: a, prompt: x, file: 'x/{format}/{id}', picked: 'y/{id}'}\n"
    path = write("m.yaml", text)
    flat = load(path, flatten=True)
    assert (flat.takes[0].path("wav"), flat.jobs[0].picked_path("wav")) == ("x_wav_a.wav", "y_a.wav")
    path = write("m.yaml", f"{text}  - {{id: b, prompt: x, file: x_wav_a}}\n")
    assert len(load(path).takes) == 2
    with pytest.raises(ManifestInvalid, match=r'has the path "x_wav_a"'):
        load(path, flatten=True)
