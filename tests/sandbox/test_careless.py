"""Files with careless headers: whole for a reader that goes by what is there."""

from __future__ import annotations

import io
from typing import Any, get_args

import pytest
import soundfile

from kling_batch.sandbox.careless import WAV_HEADER, careless
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.rows import stated_length
from kling_batch.sandbox.settings import Mp3Head, StatedLength, WavHeader
from kling_batch.sandbox.sound import synthesise
from tests.quick_clips import quick_clip

MAKERS = pytest.mark.parametrize("make", [quick_clip, synthesise])
FRAMES = 24_000


def made(make: Any, **fields: Any) -> tuple[bytes, bytes]:
    """A clip of three seconds as it is made, and as it is served."""
    spec = ClipSpec(prompt="rain", duration_s=3.0, seed="a", sample_rate=8000, **fields)
    return make(spec), careless(make(spec), spec)


def frames(data: bytes) -> int:
    return len(soundfile.read(io.BytesIO(data))[0])


@MAKERS
@pytest.mark.parametrize("header", ["exact", "stream-max", "tag-behind", "rf64"])
def test_a_careless_wav_is_decoded_whole(make: Any, header: WavHeader) -> None:
    """Its samples are those of the plain file, and a common decoder reads them all."""
    plain, served = made(make, audio_format="wav", wav_header=header)
    assert (served == plain) == (header == "exact")
    assert plain[WAV_HEADER:] in served
    assert frames(served) == FRAMES


@MAKERS
def test_a_stream_that_says_zero_holds_every_sample(make: Any) -> None:
    """A decoder that believes the size finds nothing; all that follows the header is the sound."""
    plain, served = made(make, audio_format="wav", wav_header="stream-zero")
    assert (served[4:8], served[40:44], served[WAV_HEADER:]) == (bytes(4), bytes(4), plain[WAV_HEADER:])


@MAKERS
def test_packed_samples_are_all_there(make: Any) -> None:
    """The file is smaller, and at most a block longer."""
    plain, served = made(make, audio_format="wav", wav_header="adpcm")
    assert len(served) < len(plain) / 3
    assert FRAMES <= frames(served) <= FRAMES + 1024


@MAKERS
@pytest.mark.parametrize("head", get_args(Mp3Head))
def test_a_careless_mp3_is_decoded_whole(make: Any, head: Mp3Head) -> None:
    """A reader that skips zeros before the tags and frames finds every sample."""
    plain, served = made(make, audio_format="mp3", mp3_head=head)
    assert (served == plain) == (head == "exact")
    assert frames(served.lstrip(b"\0")) == FRAMES


def test_every_manner_of_stating_a_length() -> None:
    """To the millisecond, up to the next tenth, to the nearest second, as nothing at all, in milliseconds."""
    told = {manner: stated_length(3.041, 8000, manner) for manner in get_args(StatedLength)}
    assert told == {
        "exact": "3.041",
        "rounded": "3.1",
        "whole": "3",
        "zero": "0",
        "empty": "",
        "milliseconds": "3041",
    }


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_a_sandbox_serves_careless_files(a_caller: Any, audio_format: str) -> None:
    """Every file is as the behaviour says, under an ETag of its own; ranges are ranges of that file."""
    plain, other = a_caller(), a_caller({"behaviour": {"wav_header": "tag-behind", "mp3_head": "second-id3"}})
    replies = [caller.fetch(caller.url(audio_format=audio_format)) for caller in (plain, other)]
    assert len({reply.headers["etag"] for reply in replies}) == len({reply.body for reply in replies}) == 2
    assert other.fetch(other.url(audio_format=audio_format), range="bytes=-9").body == replies[1].body[-9:]


def test_two_takes_differ_when_packed(a_caller: Any) -> None:
    """What is packed does not become the same."""
    caller = a_caller({"behaviour": {"wav_header": "adpcm"}})
    assert len({caller.fetch(caller.url(name)).body for name in "abcdef"}) == 6


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_sounds_can_be_longer_than_asked(a_caller: Any, audio_format: str) -> None:
    """The file and the stated length agree; the order does not."""
    caller = a_caller({"behaviour": {"length_factor": 1.4}})
    assert frames(caller.fetch(caller.url(audio_format=audio_format)).body) == pytest.approx(1.4 * FRAMES)
    (audio,) = caller.query().json()["data"]["task_result"]["audios"]
    assert audio[f"duration_{audio_format}"] == "4.200"
