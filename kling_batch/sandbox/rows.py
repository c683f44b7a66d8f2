"""What the sandbox says of its tasks and packs, as JSON in the shapes of the documentation."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_UP, Decimal
from typing import Any

from kling_batch.sandbox.kinds import DUBBING, PRESET, SPEECH
from kling_batch.sandbox.settings import Behaviour, Pack, StatedLength, WorldSettings
from kling_batch.sandbox.tasks import SandboxTask, new_id

FORMATS = ("mp3", "wav")


def created_data(task: SandboxTask, behaviour: Behaviour) -> dict[str, Any]:
    """Say what a create call is answered with."""
    created_ms = int(task.created_at * 1000)
    return _tidy(
        {
            "task_id": task.task_id,
            "task_info": _info(task, named=behaviour.external_ids_shown != "never"),
            "task_status": "submitted",
            "created_at": created_ms,
            "updated_at": created_ms,
        },
        behaviour,
    )


def task_data(
    task: SandboxTask, settings: WorldSettings, now: float, url: Callable[[str], str], *, named: bool
) -> dict[str, Any]:
    """Say what a query or a list tells of a task; `named`, its external id too."""
    behaviour, state = settings.behaviour, task.state(now)
    words = {"succeeded": behaviour.success_word, "failed": behaviour.failure_word}
    data: dict[str, Any] = {
        "task_id": task.task_id,
        "task_status": words.get(state, state),
        "task_status_msg": (task.failure or "") if state == "failed" else "",
        **({} if task.order.kind.answers_at_once else {"task_info": _info(task, named=named) | _source(task)}),
        "task_result": {},
        "created_at": int(task.created_at * 1000),
        "updated_at": int(task.updated_at(now) * 1000),
    }
    if state == "succeeded" and now >= task.audios_at:
        data["task_result"] = _result(task, settings, url)
    if state in {"succeeded", "failed"} and behaviour.units_in_reply and task.order.kind is not PRESET:
        data["final_unit_deduction"] = str(task.units)
    return _tidy(data, behaviour)


def _result(task: SandboxTask, settings: WorldSettings, url: Callable[[str], str]) -> dict[str, Any]:
    behaviour = settings.behaviour
    length = stated_length(task.duration_s * behaviour.length_factor, settings.sample_rate, behaviour.stated_length)
    audio = {"id": task.audio_id}
    if task.is_voice:
        owner = "kling" if task.order.kind is PRESET else "sandbox"
        voice = {"voice_id": voice_id(task), "voice_name": task.order.words, "owned_by": owner}
        return {"voices": [voice | {"trial_url": url(settings.speech_format)}]}
    if task.order.kind is SPEECH:
        return {"audios": [audio | {"url": url(settings.speech_format), "duration": length}]}
    audio |= {f"url_{name}": url(name) for name in FORMATS} | {f"duration_{name}": length for name in FORMATS}
    if task.order.kind is DUBBING:
        video = {"id": new_id(task.audio_id, "video"), "url": url("mp4"), "duration": length}
        return {"videos": [video], "audios": [audio]}
    return {"audios": [audio]}


def voice_id(task: SandboxTask) -> str:
    """Say which voice a task has made."""
    return new_id(task.audio_id, "voice")


def _source(task: SandboxTask) -> dict[str, Any]:
    """Say which video a sound was made for."""
    if task.order.kind is not DUBBING:
        return {}
    given = task.order.fields
    video_id = given["video_id"] or new_id(given["video_url"])
    return {"parent_video": {"id": video_id, "url": given["video_url"], "duration": f"{task.duration_s:.3f}"}}


def stated_length(duration_s: float, sample_rate: int, manner: StatedLength) -> str:
    """Say how long a clip is once decoded: for MP3 too, since the file tells its padding and decoders cut it off."""
    exact = Decimal(round(duration_s * sample_rate)) / sample_rate
    match manner:
        case "exact":
            return f"{exact:.3f}"
        case "rounded":
            return str(exact.quantize(Decimal("0.1"), ROUND_UP))
        case "whole":
            return f"{exact:.0f}"
        case "milliseconds":
            return f"{exact * 1000:.0f}"
        case "zero":
            return "0"
        case "empty":
            return ""


def account_data(packs: tuple[Pack, ...], *, used: float, now: float) -> dict[str, Any]:
    """Say what an account query is answered with. Without packs the list is missing, as was seen on the service."""
    data: dict[str, Any] = {"code": 0, "msg": "success"}
    if packs:
        data["resource_pack_subscribe_infos"] = [_pack(pack, used, now) for pack in packs]
    return data


def _pack(pack: Pack, used: float, now: float) -> dict[str, Any]:
    remaining = max(0.0, pack.total - used)
    return {
        "resource_pack_name": pack.name,
        "resource_pack_id": pack.id,
        "resource_pack_type": pack.type,
        "total_quantity": pack.total,
        "remaining_quantity": remaining,
        "purchase_time": int(pack.effective_at * 1000),
        "effective_time": int(pack.effective_at * 1000),
        "invalid_time": int(pack.invalid_at * 1000),
        "status": _pack_status(pack, remaining, now),
    }


def _pack_status(pack: Pack, remaining: float, now: float) -> str:
    if now < pack.effective_at:
        return "toBeOnline"
    if now >= pack.invalid_at:
        return "expired"
    return "online" if remaining > 0 else "runOut"


def shows_id(behaviour: Behaviour, *, finished: bool, listed: bool) -> bool:
    """Say whether a task's external id is told: in a row of the list, or in the answer to a query."""
    if behaviour.external_ids_shown == "when-finished":
        return finished
    return behaviour.external_ids_shown == "always" or (behaviour.external_ids_shown == "not-in-list" and not listed)


def _info(task: SandboxTask, *, named: bool) -> dict[str, Any]:
    return {"external_task_id": task.external_id} if task.external_id and named else {}


def _tidy(data: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    if behaviour.empty_containers == "keep":
        return data
    return {name: value for name, value in data.items() if value not in ({}, [])}
