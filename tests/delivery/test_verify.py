"""What the decoder reads whole is kept; what may be damaged is suspect; what cannot be decoded is rejected."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kling_batch.delivery.verify import Rejected, Suspect, Verified, verify_audio
from kling_batch.errors import DiskUnusable


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """Verify bytes as a file that was asked for with three seconds, unless told otherwise."""

    def run(data: bytes, audio_format: str, *, stated_s: float | None = 3.0, requested_s: float = 3.0) -> Any:
        path = tmp_path / "partial"
        path.write_bytes(data)
        return verify_audio(path, audio_format=audio_format, stated_s=stated_s, requested_s=requested_s)

    return run


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_a_whole_sound_is_verified(check: Any, sound: Any, audio_format: str, channels: int, rate: int) -> None:
    """Every rate and width that the formats know is accepted, with the figures that the report shows."""
    found = check(sound(audio_format, rate=rate, channels=channels), audio_format)
    assert isinstance(found, Verified)
    assert found.warnings == ()
    assert (found.sample_rate, found.channels) == (rate, channels)
    assert abs(found.duration_s - 3.0) < 0.15
    assert 0.3 < found.peak <= 1.0


@pytest.mark.parametrize(
    "subtype",
    ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM", "G721_32", "GSM610"],
)
@pytest.mark.parametrize("size", [None, 0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_every_kind_of_wav_is_verified(check: Any, sound: Any, subtype: str, size: int | None) -> None:
    """Which samples a WAV holds is the service's choice; sizes that were never filled in take none of them away."""
    data = sound("wav", subtype=subtype, channels=1)
    found = check(data if size is None else sized(data, size), "wav")
    assert isinstance(found, Verified)
    assert abs(found.duration_s - 3.0) < 0.1


def sized(data: bytes, size: int) -> bytes:
    """Give a WAV's header other sizes, as an encoder does that writes into a pipe."""
    position, said = data.index(b"data"), struct.pack("<I", size)
    return data[:4] + said + data[8 : position + 4] + said + data[position + 8 :]


@pytest.mark.parametrize("container", ["RF64", "WAVEX"])
def test_every_container_of_wav_is_verified(check: Any, sound: Any, container: str) -> None:
    """A WAV may have a longer header, also one that leaves the sizes to another chunk, or to nobody."""
    data = sound("wav", format=container)
    for good in (data, sized(data, 0), data[:20] + bytes(24) + data[44:] if container == "RF64" else data):
        assert isinstance(check(good, "wav"), Verified)


def test_a_wrong_size_of_the_whole_wav_is_no_matter(check: Any, sound: Any) -> None:
    """Only what the decoder goes by counts: the size of the sound."""
    data = sound("wav")
    for size in (0, 10, 10**6, 10**9):
        assert check(data[:4] + struct.pack("<I", size) + data[8:], "wav").warnings == ()


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
def test_every_kind_of_mp3_is_verified(check: Any, sound: Any, mode: str) -> None:
    """Constant and variable bit rates have frames of other sizes."""
    assert isinstance(check(sound("mp3", bitrate_mode=mode, compression_level=0.3), "mp3"), Verified)


def test_silence_is_a_sound(check: Any, tmp_path: Path) -> None:
    """Whether silence was meant is for ears to say."""
    soundfile.write(tmp_path / "silence.wav", np.zeros(3 * 8000), 8000)
    found = check((tmp_path / "silence.wav").read_bytes(), "wav")
    assert isinstance(found, Verified)
    assert found.peak == 0.0


@pytest.mark.parametrize("lost", [1, 7, 100, 1000, 20_000])
@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_a_cut_file_is_suspect(check: Any, sound: Any, audio_format: str, lost: int) -> None:
    """A decoder reads a cut file without an error; here it is caught, with what is left of it."""
    found = check(sound(audio_format)[:-lost], audio_format)
    assert isinstance(found, Suspect)
    assert "cut" in found.reason
    assert 1.5 < found.sound.duration_s < 3.05


def test_an_mp3_cut_between_two_frames_is_suspect(check: Any, sound: Any) -> None:
    """The encoder's own count of frames tells what the frames alone do not."""
    whole = sound("mp3", bitrate_mode="CONSTANT")
    last = whole.rindex(whole[:3], 0, len(whole) - 1000)
    found = check(whole[:last], "mp3")
    assert isinstance(found, Suspect)
    assert "frames" in found.reason


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
@pytest.mark.parametrize("tail", [b"<html>Bad gateway</html>", b"TAG" + bytes(125), b"LIST\x04\0\0\0INFO", bytes(700)])
def test_bytes_behind_the_end_are_no_matter(check: Any, sound: Any, audio_format: str, tail: bytes) -> None:
    """Tags, padding and what a proxy joined to it are none of the sound."""
    found = check(sound(audio_format) + tail, audio_format)
    assert isinstance(found, Verified)
    assert found.warnings == ()


@pytest.mark.parametrize("gap", [(20_000, 20_500), (20_000, 30_000)])
def test_damage_to_frames_is_suspect(check: Any, sound: Any, gap: tuple[int, int]) -> None:
    """A hole in the middle is found, and where it begins; the frames around it are decoded."""
    data, (begin, end) = sound("mp3"), gap
    found = check(data[:begin] + bytes(end - begin) + data[end:], "mp3")
    assert isinstance(found, Suspect)
    assert "damaged: at byte 20" in found.reason
    assert 2.0 < found.sound.duration_s < 3.0


ID3 = b"ID3\x04\0\0\0\0\x01\x48" + bytes(200)


@pytest.mark.parametrize("before", [b"\0", bytes(9000), ID3, ID3 + ID3, ID3 + bytes(9), bytes(9) + ID3])
def test_what_stands_before_the_first_frame_is_no_matter(check: Any, sound: Any, before: bytes) -> None:
    """Tags, several of them, and padding are skipped, where the decoder would not open the file."""
    found = check(before + sound("mp3"), "mp3")
    assert isinstance(found, Verified)
    assert abs(found.duration_s - 3.0) < 0.1


@pytest.mark.parametrize("before", [b"\r\n", b"junk" * 99, ID3 + b"junk" * 9, b"\xff\xfb\x90d"])
def test_junk_before_the_first_frame_is_suspect(check: Any, sound: Any, before: bytes) -> None:
    """It may be what is left of frames; the others are decoded, where the decoder would not open the file."""
    found = check(before + sound("mp3"), "mp3")
    assert isinstance(found, Suspect)
    assert "before its first frame" in found.reason
    assert abs(found.sound.duration_s - 3.0) < 0.1


@pytest.mark.parametrize("count", [0, 1, 50, 115, 117, None])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_wrong_count_of_frames_hides_none(
    check: Any, sound: Any, count: int | None, channels: int, rate: int
) -> None:
    """The decoder would end where the encoder's count does, or where it guesses from the first frame without one."""
    data = sound("mp3", channels=channels, rate=rate)
    mark = data.index(b"Xing")
    said = b"Xing" + bytes(8) if count is None else data[mark : mark + 8] + struct.pack(">I", count)
    found = check(data[:mark] + said + data[mark + 12 :], "mp3")
    sound_found = found.sound if isinstance(found, Suspect) else found
    assert abs(sound_found.duration_s - 3.0) < 0.2
    assert isinstance(found, Verified) or (count or 0) > 3 * rate // 1152


def test_an_mp3_without_a_count_is_decoded_to_its_end(check: Any, sound: Any) -> None:
    """A stream has no such frame, and its first frame tells nothing of the others."""
    data = sound("mp3", bitrate_mode="VARIABLE")
    second = data.index(data[:2], 4)
    found = check(data[second:], "mp3")
    assert isinstance(found, Verified)
    assert abs(found.duration_s - 3.0) < 0.1


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>403</title>", "web page"),
        (b"\xef\xbb\xbf\n <?xml version='1.0'?><Error/>", "web page or XML"),
        (b'{"code": 404}', "JSON"),
        (b"RIFF", "cannot be decoded"),
        (b"\0" * 5000, "cannot be decoded"),
        (b"ID3\x04\0\0\0\0\0\0", "cannot be decoded"),
        (b"RIFF\x04\0\0\0WAVE", "cannot be decoded"),
        (b"\xff", "cannot be decoded"),
    ],
)
def test_what_is_no_sound_is_rejected(check: Any, data: bytes, words: str, audio_format: str) -> None:
    """An error page under the name of a sound is named for what it is."""
    found = check(data, audio_format)
    assert isinstance(found, Rejected)
    assert words in found.reason


@pytest.mark.parametrize(("asked", "served"), [("wav", "mp3"), ("mp3", "wav")])
def test_the_other_format_is_rejected(check: Any, sound: Any, asked: str, served: str) -> None:
    """A file is not renamed into what was asked for."""
    found = check(sound(served), asked)
    assert found == Rejected(reason=f"it is {served.upper()}, not {asked.upper()}")


def test_a_format_inside_of_the_right_name_is_rejected(check: Any, tmp_path: Path) -> None:
    """FLAC is no WAV, whatever the URL says."""
    soundfile.write(tmp_path / "x.flac", np.zeros(3 * 8000), 8000)
    assert isinstance(check((tmp_path / "x.flac").read_bytes(), "wav"), Rejected)


def test_a_wav_without_a_sample_is_rejected(check: Any, sound: Any) -> None:
    """A header alone is no sound."""
    assert check(sound("wav")[:44], "wav") == Rejected(reason="there is no sound in it")


def test_samples_that_are_no_numbers_are_suspect(check: Any, tmp_path: Path) -> None:
    """A float WAV can hold NaN; ears and tools cannot."""
    for bad in (np.nan, np.inf):
        soundfile.write(tmp_path / "x.wav", np.full(3 * 8000, bad), 8000, subtype="FLOAT")
        found = check((tmp_path / "x.wav").read_bytes(), "wav")
        assert isinstance(found, Suspect)
        assert "no numbers" in found.reason
        assert found.sound.peak == 0.0


def test_a_sound_may_have_many_channels(check: Any, tmp_path: Path) -> None:
    """What the decoder reads is kept, in as little memory as any."""
    soundfile.write(tmp_path / "x.wav", np.zeros((3 * 8000, 200)), 8000)
    found = check((tmp_path / "x.wav").read_bytes(), "wav")
    assert isinstance(found, Verified)
    assert found.channels == 200


@pytest.mark.parametrize("stated_s", [None, 0.0, 3.0, 3.1])
def test_a_stated_length_that_is_about_right_is_no_matter(check: Any, sound: Any, stated_s: float | None) -> None:
    """Real answers are rounded, or say nothing."""
    assert check(sound("wav", 3.06), "wav", stated_s=stated_s).warnings == ()


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
@pytest.mark.parametrize(
    ("seconds", "stated_s", "words"),
    [
        (4.2, 4.2, "lasts 4.2. s, and 3.00 s were asked for"),
        (2.0, 2.0, "lasts 2.0. s, and 3.00 s were asked for"),
        (3.0, 3000.0, "states 3000.00 s, and it lasts 3.0. s"),
    ],
)
def test_another_length_is_a_warning(
    check: Any, sound: Any, audio_format: str, seconds: float, stated_s: float, words: str
) -> None:
    """A whole file of another length than was asked for, or is stated, is what the service made."""
    found = check(sound(audio_format, seconds), audio_format, stated_s=stated_s)
    assert isinstance(found, Verified)
    [warning] = found.warnings
    assert re.search(words, warning)


def test_a_sound_below_60_percent_is_suspect(check: Any, sound: Any) -> None:
    """So short a sound may have been cut where its format does not tell."""
    found = check(sound("wav", 1.7), "wav", stated_s=1.7)
    assert isinstance(found, Suspect)
    assert found.reason == "it lasts 1.70 s, and 3.00 s were asked for"
    assert isinstance(check(sound("wav", 1.9), "wav"), Verified)


def test_a_file_that_cannot_be_read_is_the_disks_fault(tmp_path: Path) -> None:
    """A file that went away is not taken for a bad sound, which would be fetched again and again."""
    with pytest.raises(DiskUnusable, match="gone"):
        verify_audio(tmp_path / "gone.wav", audio_format="wav", requested_s=3.0)


def test_damage_inside_of_frames_is_suspect(check: Any, spoilt_mp3: bytes) -> None:
    """All frames are there, and decode to something that no sound is."""
    found = check(spoilt_mp3, "mp3")
    assert isinstance(found, Suspect)
    assert "as loud as can be" in found.reason
