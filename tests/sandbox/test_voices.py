"""Custom voices: made, asked for, listed beside everybody's, and deleted."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
import soundfile

from kling_batch.sandbox.app import SandboxServer
from kling_batch.sandbox.settings import FILE_BASE_URL, SANDBOX_API_KEY, WorldSettings
from tests.quick_clips import quick_clip

PATH = "/v1/general/custom-voices"
PRESETS = "/v1/general/presets-voices"
DELETE = "/v1/general/delete-voices"
ELSEWHERE = "https://example.com/barkeeper.wav"


def clone(caller: Any, external_id: str = "v", **fields: Any) -> Any:
    return caller.post(
        PATH, **{"voice_name": "Barkeeper", "voice_url": ELSEWHERE, "external_task_id": external_id} | fields
    )


def cloned(caller: Any, external_id: str = "v") -> Any:
    """Clone a voice, and give what a query tells of it."""
    assert clone(caller, external_id).json()["code"] == 0
    caller.clock.now += 10
    return caller.call("GET", f"{PATH}/{external_id}").json()["data"]


def voices(rows: Any) -> list[Any]:
    return [voice for row in rows for voice in row["task_result"]["voices"]]


def wav(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, [0.0] * int(8000 * seconds), 8000, format="WAV")
    return file.getvalue()


def test_a_voice_is_made(caller: Any) -> None:
    """The result is its id and name, whose it is, and a trial; it costs a fifth of a sound."""
    data = cloned(caller)
    (voice,) = voices([data])
    assert set(voice) == {"voice_id", "voice_name", "trial_url", "owned_by"}
    assert (voice["voice_name"], voice["owned_by"] != "kling") == ("Barkeeper", True)
    assert data["final_unit_deduction"] == str(caller.world.ledger.charged) == "0.05"
    trial = soundfile.info(io.BytesIO(caller.fetch(voice["trial_url"]).body))
    assert (trial.format, trial.duration) == ("MP3", pytest.approx(5, abs=1.5))
    assert caller.call("GET", PATH).json()["data"] == [data]


def test_voices_come_over_http(instant: WorldSettings) -> None:
    """Made, listed, deleted and gone behind real sockets."""
    with (
        SandboxServer(instant, synth=quick_clip) as server,
        httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"}, trust_env=False
        ) as api,
    ):
        assert api.post(PATH, json={"voice_name": "Barkeeper", "voice_url": ELSEWHERE}).json()["code"] == 0
        (voice,) = voices(api.get(PATH, params={"pageSize": 1000}).json()["data"])
        assert httpx.get(voice["trial_url"], trust_env=False).status_code == 200
        assert len(voices(api.get(PRESETS).json()["data"])) > 1
        deleted = api.post(DELETE, json={"voice_id": voice["voice_id"]}).json()["data"]
        assert set(deleted) == {"task_id", "task_status"}
        assert api.get(PATH).json()["data"] == []


def test_presets_are_everybodys(a_caller: Any) -> None:
    """Each stands in what looks like a task, the service's own and free; no habit of the list hides them."""
    caller = a_caller({"behaviour": {"list_scope": "other-key", "list_cut": 0}})
    rows = caller.call("GET", PRESETS, query={"pageSize": 1000}).json()["data"]
    told = voices(rows)
    assert {voice["owned_by"] for voice in told} == {"kling"}
    assert len({voice["voice_id"] for voice in told}) == len(told) > 1
    assert all(row["task_status"] == "succeed" and "final_unit_deduction" not in row for row in rows)
    assert voices(caller.call("GET", PRESETS, query={"pageNum": 2, "pageSize": 1}).json()["data"]) == told[1:2]
    assert caller.fetch(told[0]["trial_url"]).status == 200
    assert caller.world.ledger.tasks == []


def test_a_deleted_voice_is_gone(caller: Any) -> None:
    """Neither query nor list finds it, it cannot be deleted twice, and what it cost is not given back."""
    voice_id = voices([cloned(caller)])[0]["voice_id"]
    other = cloned(caller, "other")
    assert caller.post(DELETE, voice_id=voice_id).json()["code"] == 0
    assert caller.call("GET", f"{PATH}/v").json()["code"] == 1203
    assert caller.call("GET", PATH).json()["data"] == [other]
    assert caller.post(DELETE, voice_id=voice_id).json()["code"] == 1203
    assert (str(caller.world.ledger.charged), caller.world.ledger.requests["delete"]) == ("0.10", 2)


@pytest.mark.parametrize("body", [{}, {"voice_id": "none"}, {"voice_id": 7}, {"voice_id": ["x"]}])
def test_only_ones_own_voices_are_deleted(caller: Any, body: dict[str, Any]) -> None:
    """An unknown voice is refused, and so is everybody's."""
    assert caller.post(DELETE, **body).json()["code"] == 1203
    preset = voices(caller.call("GET", PRESETS).json()["data"])[0]["voice_id"]
    assert caller.post(DELETE, voice_id=preset).json()["code"] == 1203


@pytest.mark.parametrize(("do", "left"), [("lost-before", 1), ("lost-after", 0), ({"refuse": 1302}, 1)])
def test_deleting_can_go_wrong(a_caller: Any, do: Any, left: int) -> None:
    """A fault strikes it like any call: `after`, the voice is gone."""
    caller = a_caller({"rules": [{"on": "delete", "do": do}]})
    caller.post(DELETE, voice_id=voices([cloned(caller)])[0]["voice_id"])
    assert len(caller.call("GET", PATH).json()["data"]) == left


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"voice_name": ""}, "voice_name can not be null"),
        ({"voice_name": "x" * 21}, "20 characters"),
        ({"voice_url": ""}, "exactly one of these"),
        ({"video_id": "x"}, "exactly one of these"),
        ({"prompt": "x"}, "unknown parameter: prompt"),
    ],
)
def test_parameters_are_checked(caller: Any, fields: dict[str, Any], words: str) -> None:
    """A field that is wrong is refused with 1201."""
    reply = clone(caller, **fields).json()
    assert (reply["code"], words in reply["message"]) == (1201, True)


@pytest.mark.parametrize(("data", "code"), [(wav(4.9), 1201), (wav(5), 0), (wav(30), 0), (wav(31), 1201), (b"x", 1201)])
def test_a_voice_that_was_brought_has_its_length(caller: Any, data: bytes, code: int) -> None:
    """From 5 to 30 seconds of sound."""
    url = f"{FILE_BASE_URL}/uploads/barkeeper.wav"
    caller.fetch(url, "PUT", data)
    assert clone(caller, voice_url=url).json()["code"] == code


def test_pages_of_voices_are_longer(caller: Any) -> None:
    """1,000 rows at most, where other lists have 500."""
    for path in (PATH, PRESETS):
        codes = [caller.call("GET", path, query={"pageSize": size}).json()["code"] for size in (1000, 1001)]
        assert codes == [0, 1201]


def test_a_cloned_voice_does_not_speak(caller: Any) -> None:
    """The voices for speech are others: text to speech refuses it, and everybody's as well."""
    mine = voices([cloned(caller)])[0]["voice_id"]
    preset = voices(caller.call("GET", PRESETS).json()["data"])[0]["voice_id"]
    for voice_id in (mine, preset):
        assert caller.post("/v1/audio/tts", text="Hello", voice_id=voice_id).json()["code"] == 1201


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("POST", PRESETS, 1202), ("GET", f"{PRESETS}/x", 1203), ("GET", DELETE, 1202), ("DELETE", f"{PATH}/x", 1202)],
)
def test_unknown_calls_are_refused(caller: Any, method: str, path: str, code: int) -> None:
    """Everybody's voices are listed and nothing else; there is no DELETE."""
    assert caller.call(method, path).json()["code"] == code
