"""Video to audio: a sound as long as the video, and the video with its sound."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
import soundfile

from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.settings import FILE_BASE_URL, SANDBOX_API_KEY, WorldSettings
from kling_batch.sandbox.sound import synthesise
from kling_batch.sandbox.video import length_s
from tests.quick_clips import quick_clip

av = pytest.importorskip("av")

PATH = "/v1/audio/video-to-audio"
BROUGHT = f"{FILE_BASE_URL}/uploads/intro.mp4"
ELSEWHERE = "https://example.com/clip.mp4"


def dub(caller: Any, external_id: str = "v", **fields: Any) -> Any:
    source = {} if {"video_id", "video_url"} & fields.keys() else {"video_url": ELSEWHERE}
    return caller.post(PATH, external_task_id=external_id, **source, **fields)


def dubbed(caller: Any, **fields: Any) -> Any:
    """Have a video dubbed, and give what a query tells of it."""
    assert dub(caller, **fields).json()["code"] == 0
    caller.clock.now += 10
    return caller.call("GET", f"{PATH}/v").json()["data"]


def clip(seconds: float) -> bytes:
    """Make somebody's silent video."""
    spec = ClipSpec(prompt="", duration_s=seconds, audio_format="mp4", seed="", sample_rate=8000, mp4_sound=False)
    return quick_clip(spec)


def bring(caller: Any, data: bytes) -> str:
    """Put somebody's video where the sandbox can read it."""
    assert caller.fetch(BROUGHT, "PUT", data).status == 200
    return BROUGHT


def streams(data: bytes) -> dict[str, float]:
    """Decode a file, and tell the length of each kind of stream."""
    with av.open(io.BytesIO(data)) as container:
        return {frame_kind(frame): frame.time for frame in container.decode()}


def frame_kind(frame: Any) -> str:
    return "video" if isinstance(frame, av.VideoFrame) else "audio"


def test_a_video_gets_its_sound(caller: Any) -> None:
    """The result tells the source, the video and the sounds, all of one length, and costs as much as a sound."""
    data = dubbed(caller, sound_effect_prompt="footsteps", bgm_prompt="lute")
    (video,), (audio,) = data["task_result"]["videos"], data["task_result"]["audios"]
    assert data["task_info"]["parent_video"] | {"id": ""} == {"id": "", "url": ELSEWHERE, "duration": "5.000"}
    assert data["task_info"]["external_task_id"] == "v"
    assert {video["duration"], audio["duration_mp3"], audio["duration_wav"]} == {"5.000"}
    assert data["final_unit_deduction"] == "0.25"
    assert soundfile.info(io.BytesIO(caller.fetch(audio["url_wav"]).body)).duration == 5.0
    reply = caller.fetch(video["url"])
    assert reply.headers["content-type"] == "video/mp4"
    assert streams(reply.body) == {"video": pytest.approx(5, abs=0.2), "audio": pytest.approx(5, abs=0.2)}


def test_a_video_comes_over_http(instant: WorldSettings) -> None:
    """Brought, dubbed, listed and fetched behind real sockets."""
    with (
        SandboxServer(instant, synth=quick_clip) as server,
        httpx.Client(headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"}, trust_env=False) as api,
    ):
        url = f"{server.world.settings.file_base_url}/uploads/a b.mp4"
        assert httpx.put(url, content=clip(7.0), trust_env=False).status_code == 200
        assert api.post(server.url + PATH, json={"video_url": url}).json()["code"] == 0
        (row,) = api.get(server.url + PATH).json()["data"]
        file = httpx.get(row["task_result"]["videos"][0]["url"], trust_env=False)
    assert length_s(file.content) == pytest.approx(7, abs=0.3)


def test_the_real_sound_is_in_the_real_video() -> None:
    """What is synthesised decodes as picture and sound, the same each time."""
    spec = ClipSpec(prompt="bell", duration_s=3.0, audio_format="mp4", seed="a", sample_rate=44_100)
    data = synthesise(spec)
    assert synthesise(spec) == data
    with av.open(io.BytesIO(data)) as container:
        loudest = max(abs(frame.to_ndarray()).max() for frame in container.decode(audio=0))
    assert 0.6 < loudest < 1.0


@pytest.mark.parametrize(("seconds", "code"), [(3.0, 0), (20.0, 0), (2.5, 1201), (21.0, 1201)])
def test_a_video_that_was_brought_has_its_length(caller: Any, seconds: float, code: int) -> None:
    """From 3 to 20 seconds; the sound is as long as the video."""
    reply = dub(caller, video_url=bring(caller, clip(seconds))).json()
    assert reply["code"] == code
    if code == 0:
        caller.clock.now += 10
        told = caller.call("GET", f"{PATH}/v").json()["data"]["task_result"]["audios"][0]["duration_wav"]
        assert float(told) == pytest.approx(seconds, abs=0.15)


def test_what_is_no_video_is_refused(caller: Any) -> None:
    """A file that is none, and one that was never brought."""
    assert dub(caller, video_url=bring(caller, b"no video")).json()["code"] == 1201
    assert dub(caller, video_url=f"{FILE_BASE_URL}/uploads/none.mp4").json()["code"] == 1201
    assert caller.fetch(f"{FILE_BASE_URL}/uploads/none.mp4").status == 404


def test_how_long_a_video_is_can_be_set(a_caller: Any) -> None:
    """For one that is elsewhere, also by its id, since the sandbox connects to nobody."""
    data = dubbed(a_caller({"video_s": 12.5}), video_id="an-id")
    assert data["task_info"]["parent_video"] == {"id": "an-id", "url": "", "duration": "12.500"}


def test_a_video_can_lack_its_sound(a_caller: Any) -> None:
    """The MP4 holds a picture alone."""
    caller = a_caller({"mp4_sound": False})
    url = dubbed(caller)["task_result"]["videos"][0]["url"]
    assert streams(caller.fetch(url).body).keys() == {"video"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"video_id": ""}, "exactly one of these"),
        ({"video_id": "x", "video_url": ELSEWHERE}, "exactly one of these"),
        ({"bgm_prompt": "x" * 201}, "200 characters"),
        ({"asmr_mode": "yes"}, "asmr_mode must be a boolean"),
        ({"video": "x"}, "unknown parameter: video"),
    ],
)
def test_parameters_are_checked(caller: Any, fields: dict[str, Any], words: str) -> None:
    """A field that is wrong is refused with 1201."""
    reply = dub(caller, **fields).json()
    assert (reply["code"], words in reply["message"]) == (1201, True)


def test_each_kind_has_its_own_queries(caller: Any) -> None:
    """An external id is taken on the whole account, and a query or list shows one kind alone."""
    dub(caller, "same")
    assert caller.create("same").json()["code"] == 1201
    assert caller.query("same").json()["code"] == 1203
    assert caller.page().json()["data"] == []
    assert caller.call("GET", f"{PATH}/same").json()["code"] == 0


def test_sounds_have_no_video(caller: Any) -> None:
    """A file that no result tells of is not there."""
    assert caller.fetch(caller.url().replace(".wav", ".mp4")).status == 404


@pytest.mark.parametrize("do", ["cut", "corrupt", "wrong-type", "wrong-format", "wrong-length"])
def test_videos_go_wrong_like_sounds(a_caller: Any, do: str) -> None:
    """Every fault of a download strikes an MP4 as well."""
    caller = a_caller({"rules": [{"do": do, "limit": 1}]})
    url = dubbed(caller)["task_result"]["videos"][0]["url"]
    struck, whole = (caller.fetch(url) for _ in range(2))
    assert (struck.body, struck.cut_at) != (whole.body, whole.cut_at)


def test_a_length_is_read_from_either_kind_of_header() -> None:
    """With figures of 32 bits or of 64; what holds none, or ends in it, has no length."""
    short = b"mvhd" + bytes(12) + (1000).to_bytes(4, "big") + (4500).to_bytes(4, "big")
    long = b"mvhd\1" + bytes(19) + (1000).to_bytes(4, "big") + (4500).to_bytes(8, "big")
    assert [length_s(data) for data in (short, long)] == [4.5, 4.5]
    assert [length_s(data) for data in (short[:-1], b"", b"mvhd" + bytes(20))] == [None] * 3
