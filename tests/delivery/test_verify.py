"""A file is believed only when it is whole, decodes, and lasts as long as it should."""

from __future__ import annotations

import struct
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kling_batch.delivery.quiet import quiet_decoder
from kling_batch.delivery.verify import Rejected, Verified, length_flaw, verify_audio
from kling_batch.errors import DiskUnusable


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """Verify bytes as a file that was asked for with three seconds, unless told otherwise."""

    def run(data: bytes, audio_format: str, *, expected_s: float | None = 3.0, requested_s: float = 3.0) -> Any:
        path = tmp_path / "partial"
        path.write_bytes(data)
        return verify_audio(path, audio_format=audio_format, expected_s=expected_s, requested_s=requested_s)

    return run


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_a_whole_sound_is_verified(check: Any, sound: Any, audio_format: str, channels: int, rate: int) -> None:
    """Every rate and width that the formats know is accepted, with the figures that the report shows."""
    found = check(sound(audio_format, rate=rate, channels=channels), audio_format)
    assert isinstance(found, Verified)
    assert (found.sample_rate, found.channels) == (rate, channels)
    assert abs(found.duration_s - 3.0) < 0.15
    assert 0.3 < found.peak <= 1.0


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_kind_of_wav_is_verified(check: Any, sound: Any, subtype: str) -> None:
    """Which samples a WAV holds is the service's choice."""
    assert isinstance(check(sound("wav", subtype=subtype), "wav"), Verified)


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
def test_a_cut_file_is_rejected(check: Any, sound: Any, audio_format: str, lost: int) -> None:
    """A decoder reads a cut file without an error; here it is caught."""
    found = check(sound(audio_format)[:-lost], audio_format)
    assert isinstance(found, Rejected)
    assert "cut" in found.reason


def test_an_mp3_cut_between_two_frames_is_rejected(check: Any, sound: Any) -> None:
    """The encoder's own count of frames tells what the frames alone do not."""
    whole = sound("mp3", bitrate_mode="CONSTANT")
    last = whole.rindex(whole[:3], 0, len(whole) - 100)
    found = check(whole[:last], "mp3")
    assert isinstance(found, Rejected)
    assert "frames" in found.reason


def test_bytes_behind_the_end_are_rejected(check: Any, sound: Any) -> None:
    """What follows the sound was joined to it by mistake."""
    for audio_format in ("wav", "mp3"):
        found = check(sound(audio_format) + b"<html>Bad gateway</html>", audio_format)
        assert isinstance(found, Rejected)
        assert "damaged" in found.reason


def test_damage_to_a_frame_is_rejected(check: Any, sound: Any) -> None:
    """A hole in the middle is found, and where it begins."""
    data = bytearray(sound("mp3"))
    data[20_000:21_000] = bytes(1000)
    found = check(bytes(data), "mp3")
    assert isinstance(found, Rejected)
    assert "damaged: at byte 2" in found.reason


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>403</title>", "web page"),
        (b"\xef\xbb\xbf\n <?xml version='1.0'?><Error/>", "web page or XML"),
        (b'{"code": 404}', "JSON"),
        (b"RIFF", "does not begin"),
        (b"\0" * 5000, "does not begin"),
        (b"ID3\x04\0\0\0\0\0\0", "no sound|does not begin"),
        (b"RIFF\x04\0\0\0WAVE", "no sound|it is WAV"),
        (b"\xff", "does not begin"),
    ],
)
def test_what_is_no_sound_is_rejected(check: Any, data: bytes, words: str, audio_format: str) -> None:
    """An error page under the name of a sound is named for what it is."""
    found = check(data, audio_format)
    assert isinstance(found, Rejected)
    assert any(word in found.reason for word in words.split("|"))


@pytest.mark.parametrize(("asked", "served"), [("wav", "mp3"), ("mp3", "wav")])
def test_the_other_format_is_rejected(check: Any, sound: Any, asked: str, served: str) -> None:
    """A file is not renamed into what was asked for."""
    found = check(sound(served), asked)
    assert found == Rejected(reason=f"it is {served.upper()}, not {asked.upper()}")


def test_a_format_inside_of_the_right_name_is_rejected(check: Any, tmp_path: Path) -> None:
    """FLAC is no WAV, whatever the URL says."""
    soundfile.write(tmp_path / "x.flac", np.zeros(3 * 8000), 8000)
    assert isinstance(check((tmp_path / "x.flac").read_bytes(), "wav"), Rejected)


def test_tags_around_an_mp3_are_no_damage(check: Any, sound: Any) -> None:
    """ID3v2 before it, APEv2 and ID3v1 behind it, and padding zeros are no sound and no fault."""
    frames = sound("mp3")
    before = b"ID3\x04\0\0\0\0\x01\x48" + bytes(200)
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + bytes(8)
    for data in (
        before + frames,
        frames + b"TAG" + bytes(125),
        frames + ape + b"TAG" + bytes(125),
        frames + bytes(700),
    ):
        assert isinstance(check(data, "mp3"), Verified)


def test_a_wav_of_unsaid_size_is_judged_by_its_length(check: Any, sound: Any) -> None:
    """An encoder that writes into a pipe leaves the sizes open; then the service's figure decides."""
    data = bytearray(sound("wav"))
    data[4:8] = data[40:44] = b"\xff" * 4
    assert isinstance(check(bytes(data), "wav"), Verified)
    assert isinstance(check(bytes(data[:-40_000]), "wav"), Rejected)


def test_samples_that_are_no_numbers_are_rejected(check: Any, tmp_path: Path) -> None:
    """A float WAV can hold NaN; ears and tools cannot."""
    for bad in (np.nan, np.inf):
        soundfile.write(tmp_path / "x.wav", np.full(3 * 8000, bad), 8000, subtype="FLOAT")
        found = check((tmp_path / "x.wav").read_bytes(), "wav")
        assert isinstance(found, Rejected)


def test_a_sound_of_very_many_channels_is_rejected(check: Any, tmp_path: Path) -> None:
    """What would cost much memory to decode is no sound of the service."""
    soundfile.write(tmp_path / "x.wav", np.zeros((3 * 8000, 12)), 8000)
    found = check((tmp_path / "x.wav").read_bytes(), "wav")
    assert isinstance(found, Rejected)
    assert "12 channels" in found.reason


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_a_sound_of_the_wrong_length_is_rejected(check: Any, sound: Any, audio_format: str) -> None:
    """A whole file of another length is another sound."""
    found = check(sound(audio_format, 4.0), audio_format)
    assert isinstance(found, Rejected)
    assert "its length is wrong" in found.reason


@pytest.mark.parametrize(
    ("duration_s", "audio_format", "expected_s", "requested_s", "good"),
    [
        (5.041, "wav", 5.041, 5.0, True),
        (5.1, "wav", 5.1, 5.0, True),
        (5.0, "wav", 5.041, 5.0, True),
        (5.0, "wav", 5.1, 5.0, False),
        (5.1, "mp3", 5.0, 5.0, True),
        (5.2, "mp3", 5.0, 5.0, False),
        (6.5, "wav", 6.5, 5.0, False),
        (5.9, "wav", 5.9, 5.0, True),
        (5.4, "wav", None, 5.0, True),
        (4.4, "wav", None, 5.0, False),
        (5.4, "wav", float("nan"), 5.0, True),
        (9.9, "wav", float("inf"), 5.0, False),
    ],
)
def test_the_services_own_figure_wins_within_reason(
    duration_s: float, audio_format: str, expected_s: float | None, requested_s: float, *, good: bool
) -> None:
    """The length is measured at what the service states for the file, and that at the request."""
    flaw = length_flaw(duration_s, audio_format=audio_format, expected_s=expected_s, requested_s=requested_s)
    assert (flaw is None) is good


def test_a_file_that_cannot_be_read_is_the_disks_fault(tmp_path: Path) -> None:
    """A file that went away is not taken for a bad sound, which would be fetched again and again."""
    with pytest.raises(DiskUnusable, match="gone"):
        verify_audio(tmp_path / "gone.wav", audio_format="wav", expected_s=None, requested_s=3.0)


@pytest.fixture
def spoilt_mp3(sound: Any, tmp_path: Path) -> Path:
    """An MP3 whose frames are all there, with damage inside of them that the decoder remarks upon."""
    data = bytearray(sound("mp3"))
    for position in range(5000, len(data) - 5000, 97):
        header = data.rfind(b"\xff\xfb", 0, position + 4)
        if position - header > 5:
            data[position] ^= 0x15
    path = tmp_path / "spoilt.mp3"
    path.write_bytes(data)
    return path


def test_the_decoders_remarks_do_not_reach_the_terminal(spoilt_mp3: Path, capfd: Any) -> None:
    """A line of libmpg123 would tear the progress bar; without care, it does write."""
    with soundfile.SoundFile(spoilt_mp3) as file:
        file.read()
    assert "mpg123" in capfd.readouterr().err
    found = verify_audio(spoilt_mp3, audio_format="mp3", expected_s=3.0, requested_s=3.0)
    assert isinstance(found, Rejected)
    assert "as loud as can be" in found.reason
    assert capfd.readouterr().err == ""


def test_other_threads_keep_their_terminal_while_something_decodes(spoilt_mp3: Path, capfd: Any) -> None:
    """What the program itself says in the meantime is not lost; afterwards C code may write again."""
    with quiet_decoder():
        thread = threading.Thread(target=lambda: print("a warning", file=sys.stderr))  # noqa: T201 - the point
        thread.start()
        thread.join()
        with quiet_decoder(), soundfile.SoundFile(spoilt_mp3) as file:
            file.read()
        with soundfile.SoundFile(spoilt_mp3) as file:
            file.read()
    assert capfd.readouterr().err == "a warning\n"
    with soundfile.SoundFile(spoilt_mp3) as file:
        file.read()
    assert "mpg123" in capfd.readouterr().err
