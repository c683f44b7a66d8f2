"""Text to speech: the answer to the call is the result, and sounds like a voice."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.clips import ClipSpec
from kling_batch.sandbox.settings import API_BASE_URL, SANDBOX_API_KEY, WorldSettings
from kling_batch.sandbox.sound import synthesise
from kling_batch.sandbox.transport import SandboxTransport
from kling_batch.sandbox.wire import Loss
from tests.quick_clips import quick_clip

PATH = "/v1/audio/tts"
TEXT = "Welcome, stranger. Sit down."
SPEC = ClipSpec(prompt=TEXT, duration_s=3.0, voice="oversea_male1", audio_format="wav", seed="a", sample_rate=16_000)


def say(caller: Any, text: str = TEXT, **fields: Any) -> Any:
    return caller.post(PATH, **{"text": text, "voice_id": "oversea_male1", "voice_language": "en"} | fields)


def test_the_answer_is_the_result(caller: Any) -> None:
    """It comes when the speech is made, and tells one file, its length and its price; there is no external id."""
    reply = say(caller)
    data = reply.json()["data"]
    (audio,) = data["task_result"]["audios"]
    assert (reply.delay_s, data["task_status"], data["final_unit_deduction"]) == (pytest.approx(2.1), "succeed", "0.05")
    assert set(audio) == {"id", "url", "duration"}
    assert "task_info" not in data
    caller.clock.now += reply.delay_s
    info = soundfile.info(io.BytesIO(caller.fetch(audio["url"]).body))
    assert (info.format, info.duration) == ("MP3", pytest.approx(float(audio["duration"]), abs=0.001))


def test_speech_comes_over_http(instant: WorldSettings) -> None:
    """The same behind real sockets."""
    with (
        SandboxServer(instant, synth=quick_clip) as server,
        httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"}, trust_env=False
        ) as api,
    ):
        body = {"text": TEXT, "voice_id": "oversea_male1", "voice_language": "en"}
        (audio,) = api.post(PATH, json=body).json()["data"]["task_result"]["audios"]
        file = httpx.get(audio["url"], trust_env=False)
        assert (file.status_code, file.headers["content-type"]) == (200, "audio/mpeg")
        assert httpx.get(f"{server.url}/sandbox/ledger", trust_env=False).json()["posts"] == {TEXT: 1}


def test_the_file_can_be_a_wav(a_caller: Any) -> None:
    """The documentation does not say which format it is."""
    reply = say(a_caller({"speech_format": "wav"})).json()
    assert ".wav?" in reply["data"]["task_result"]["audios"][0]["url"]


@pytest.mark.parametrize(("speed", "factor"), [(0.8, 1.25), (2.0, 0.5)])
def test_speed_changes_the_length(caller: Any, speed: float, factor: float) -> None:
    """Twice as fast is half as long."""
    replies = [say(caller), say(caller, voice_speed=speed)]
    plain, other = (float(reply.json()["data"]["task_result"]["audios"][0]["duration"]) for reply in replies)
    assert other == pytest.approx(plain * factor, abs=0.002)


def test_nothing_can_be_asked_again(caller: Any) -> None:
    """Neither a query nor the list exists, and the list of sounds does not show it."""
    task_id = say(caller).json()["data"]["task_id"]
    caller.clock.now += 10
    assert caller.call("GET", PATH).json()["code"] == 1202
    assert caller.call("GET", f"{PATH}/{task_id}").json()["code"] == 1203
    assert caller.query(task_id).json()["code"] == 1203
    assert caller.page().json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": " "}, "text can not be null"),
        ({"text": "x" * 1001}, "1000 characters"),
        ({"voice_id": None}, "voice_id can not be null"),
        ({"voice_language": "fr"}, "one of: zh, en"),
        ({"voice_speed": 2.1}, "between 0.8 and 2.0"),
        ({"voice_speed": "1"}, "must be a number"),
        ({"external_task_id": "a"}, "unknown parameter: external_task_id"),
        ({"callback_url": "https://example.com"}, "unknown parameter: callback_url"),
    ],
)
def test_parameters_are_checked(caller: Any, fields: dict[str, Any], words: str) -> None:
    """A field that is wrong is refused with 1201, and nothing is spoken."""
    reply = say(caller, **fields).json()
    assert (reply["code"], words in reply["message"]) == (1201, True)
    assert caller.world.ledger.tasks == []


@pytest.mark.parametrize("do", ["lost-after", "error-after", {"garbage-after": "html"}])
def test_a_lost_answer_is_paid_for(a_caller: Any, do: Any) -> None:
    """The speech is made and charged, and no call can show it; sent again, it is paid for again."""
    caller = a_caller({"rules": [{"on": "create", "when": {"match": "text-to-speech"}, "do": do}]})
    for _ in range(2):
        assert say(caller).body.find(b"audios") < 0 or say(caller).loss is Loss.CLOSED
    caller.clock.now += 10
    caller.world.settle()
    books = caller.world.ledger.as_json()
    assert set(books["tasks_by_external_id"]) == {TEXT}
    assert {charge["units"] for charge in books["charges"]} == {"0.05"}
    assert len(books["charges"]) == books["posts"][TEXT] >= 2


def test_who_hangs_up_has_paid(caller: Any) -> None:
    """A client that waits for less time than the speech takes never learns of it, and is charged all the same."""

    async def main() -> None:
        transport = SandboxTransport(caller.world, caller.clock)
        headers = {"Authorization": f"Bearer {SANDBOX_API_KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url=API_BASE_URL, headers=headers, timeout=1) as api:
            await api.post(PATH, json={"text": TEXT, "voice_id": "x"})

    with pytest.raises(httpx.ReadTimeout):
        asyncio.run(main())
    caller.clock.now += 10
    caller.world.settle()
    assert str(caller.world.ledger.charged) == "0.05"


def test_speech_holds_a_slot_until_it_is_made(a_caller: Any) -> None:
    """It takes the account's room like any task."""
    caller = a_caller({"concurrency": 1})
    say(caller)
    assert (caller.create().json()["code"], say(caller).json()["code"]) == (1303, 1303)
    caller.clock.now += 10
    assert caller.create().json()["code"] == 0


def test_speech_can_fail_or_never_end(a_caller: Any) -> None:
    """A failure comes with code 0 and its reason, free of charge; what is stuck for ever is never answered."""
    fails, stuck = (a_caller({"rules": [{"do": name}]}) for name in ("task-fails", "task-stuck"))
    data = say(fails).json()["data"]
    assert (data["task_status"], data["task_result"], data["final_unit_deduction"]) == ("failed", {}, "0")
    assert data["task_status_msg"].startswith("Internal error")
    assert say(stuck).loss is Loss.SILENCE


def test_prices_keep_their_proportion(a_caller: Any) -> None:
    """`units` is the price of a sound; speech costs a fifth of it, and `price` is the price of what it strikes."""
    caller = a_caller({"behaviour": {"units": 0.5}, "rules": [{"do": {"price": 3}, "when": {"match": "dear"}}]})
    charged = [say(caller, text).json()["data"]["final_unit_deduction"] for text in ("cheap", "dear")]
    assert [Decimal(units) for units in charged] == [Decimal("0.1"), Decimal(3)]


def pitch(voice: str, text: str = TEXT) -> float:
    """Measure a voice's pitch in hertz: where the sound is most like itself a period later."""
    sound = soundfile.read(io.BytesIO(synthesise(replace(SPEC, voice=voice, prompt=text))))[0][:, 0]
    likeness = np.fft.irfft(np.abs(np.fft.rfft(sound, 2 * len(sound))) ** 2)
    return 16_000 / (50 + float(likeness[50:250].argmax()))


def test_another_voice_has_another_pitch() -> None:
    """A voice keeps to its pitch whatever it says; a woman's is higher than a man's."""
    assert pitch("oversea_male1") == pytest.approx(pitch("oversea_male1", "Mind the step."), rel=0.15)
    assert pitch("oversea_female1") > 1.3 * pitch("oversea_male1")
    assert len({round(pitch(f"voice{number}")) for number in range(5)}) > 2


@pytest.mark.parametrize("text", [TEXT, "你好 陌生人", "…", "Hm"])
def test_every_text_is_audible_and_clean(text: str) -> None:
    """Loud enough to hear, no clipping, of the length asked for; pauses are silent."""
    sound = soundfile.read(io.BytesIO(synthesise(replace(SPEC, prompt=text))))[0]
    assert sound.shape == (48_000, 2)
    assert 0.7 < np.abs(sound).max() < 0.9
    assert np.sqrt((sound**2).mean()) > 0.01
