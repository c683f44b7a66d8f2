"""The kinds of tasks that the service knows: where each is asked for, with what, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from kling_batch.sandbox.faults import Call
from kling_batch.sandbox.wire import Refusal

Reader: TypeAlias = Callable[[str, Any], Any]
"""Reads a field of a request by its name and value, which is None where it is missing; refuses what is wrong."""


def text(most: int | None = None, *, required: bool = False) -> Reader:
    """Read words; empty ones are as good as none."""

    def read(name: str, value: Any) -> str:
        if value is not None and not isinstance(value, str):
            raise Refusal(1201, f"{name} must be a string")
        if required and not (value or "").strip():
            raise Refusal(1201, f"{name} can not be null")
        if most is not None and len(value or "") > most:
            raise Refusal(1201, f"{name} must be at most {most} characters")
        return value or ""

    return read


def number(low: str, high: str, default: float | None = None) -> Reader:
    """Read a figure with one decimal at most."""

    def read(name: str, value: Any) -> float:
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Refusal(1201, f"{name} must be a number")
        exact = Decimal(str(value))
        if not Decimal(low) <= exact <= Decimal(high):
            raise Refusal(1201, f"{name} must be between {low} and {high}")
        if exact * 10 % 1:
            raise Refusal(1201, f"{name} supports one decimal place")
        return float(value)

    return read


def one_of(*words: str) -> Reader:
    """Read one of some words, the first where there is none."""

    def read(name: str, value: Any) -> str:
        if value not in (None, *words):
            raise Refusal(1201, f"{name} must be one of: {', '.join(words)}")
        return value or words[0]

    return read


def flag(name: str, value: Any) -> bool:
    """Read a yes or no; without one it is no."""
    if value not in (None, True, False):
        raise Refusal(1201, f"{name} must be a boolean")
    return bool(value)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Kind:
    """A kind of task.

    The fields `words` say what it shall be. Of the fields `sources`, exactly one must have a value; what it leads to
    is from `source_s[0]` to `source_s[1]` seconds long. `calls` are those that there are on its path.
    """

    name: str
    path: str
    units: Decimal
    fields: Mapping[str, Reader]
    words: tuple[str, ...]
    sources: tuple[str, ...] = ()
    source_s: tuple[float, float] = (0.0, 0.0)
    calls: frozenset[Call] = frozenset({Call.CREATE, Call.QUERY, Call.LIST})
    largest_page: int = 500

    @property
    def answers_at_once(self) -> bool:
        """Whether the answer to the create call is the result. It has no external id then."""
        return Call.QUERY not in self.calls


_NAMED = {"external_task_id": text(), "callback_url": text()}

SOUND = Kind(
    name="text-to-audio",
    path="/v1/audio/text-to-audio",
    units=Decimal("0.25"),
    fields={"prompt": text(200, required=True), "duration": number("3.0", "10.0"), **_NAMED},
    words=("prompt",),
)
SPEECH = Kind(
    name="text-to-speech",
    path="/v1/audio/tts",
    units=Decimal("0.05"),
    fields={
        "text": text(1000, required=True),
        "voice_id": text(required=True),
        "voice_language": one_of("zh", "en"),
        "voice_speed": number("0.8", "2.0", 1.0),
    },
    words=("text",),
    calls=frozenset({Call.CREATE}),
)
DUBBING = Kind(
    name="video-to-audio",
    path="/v1/audio/video-to-audio",
    units=Decimal("0.25"),
    fields={
        "video_id": text(),
        "video_url": text(),
        "sound_effect_prompt": text(200),
        "bgm_prompt": text(200),
        "asmr_mode": flag,
        **_NAMED,
    },
    words=("sound_effect_prompt", "bgm_prompt"),
    sources=("video_id", "video_url"),
    source_s=(3.0, 20.0),
)
VOICE = Kind(
    name="voice-clone",
    path="/v1/general/custom-voices",
    units=Decimal("0.05"),
    fields={"voice_name": text(20, required=True), "voice_url": text(), "video_id": text(), **_NAMED},
    words=("voice_name",),
    sources=("voice_url", "video_id"),
    source_s=(5.0, 30.0),
    largest_page=1000,
)
PRESET = Kind(
    name="preset-voice",
    path="/v1/general/presets-voices",
    units=Decimal(0),
    fields={},
    words=(),
    calls=frozenset({Call.LIST}),
    largest_page=1000,
)
KINDS = (SOUND, SPEECH, DUBBING, VOICE, PRESET)
