"""What a call may ask for: the documentation's limits, refused in the manner of the service."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kling_batch.sandbox.wire import Refusal

_LONGEST_PROMPT = 200
_SHORTEST_S = Decimal(3)
_LONGEST_S = Decimal(10)
_FIELDS = {"prompt", "duration", "external_task_id", "callback_url"}
_LAST_PAGE = 1000
_LARGEST_PAGE = 500
_MOST_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a create call asks for. `external_id` is empty where none was given."""

    prompt: str
    duration_s: float
    external_id: str


def read_order(body: bytes) -> Order:
    """Read the body of a create call.

    Raises:
        Refusal: 1200 for what is no JSON object, 1201 for a field that is wrong.
    """
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise Refusal(1200, "The request body is not valid JSON") from error
    if not isinstance(fields, dict):
        raise Refusal(1200, "The request body is not a JSON object")
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown:
        raise Refusal(1201, f"unknown parameter: {unknown[0]}")
    _text(fields, "callback_url")
    return Order(prompt=_prompt(fields), duration_s=_duration(fields), external_id=_text(fields, "external_task_id"))


def read_page(query: Mapping[str, str]) -> tuple[int, int]:
    """Read the number and the size of the page that a list call asks for.

    Raises:
        Refusal: 1201 for a figure out of its bounds.
    """
    return _bounded(query, "pageNum", 1, _LAST_PAGE), _bounded(query, "pageSize", 30, _LARGEST_PAGE)


def read_window(query: Mapping[str, str]) -> None:
    """Check the two times of a call for the account's packs.

    Raises:
        Refusal: 1201 when one is missing or is no time in milliseconds.
    """
    for name in ("start_time", "end_time"):
        if not query.get(name, "").isdecimal():
            raise Refusal(1201, f"{name} is required, in milliseconds")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refusal(1201, f"{name} must be a string")
    return value


def _prompt(fields: Mapping[str, Any]) -> str:
    prompt = _text(fields, "prompt")
    if not prompt.strip():
        raise Refusal(1201, "prompt can not be null")
    if len(prompt) > _LONGEST_PROMPT:
        raise Refusal(1201, f"prompt must be at most {_LONGEST_PROMPT} characters")
    return prompt


def _duration(fields: Mapping[str, Any]) -> float:
    value = fields.get("duration")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refusal(1201, "duration must be a number")
    exact = Decimal(str(value))
    if not _SHORTEST_S <= exact <= _LONGEST_S:
        raise Refusal(1201, "duration must be between 3.0 and 10.0")
    if exact * 10 % 1:
        raise Refusal(1201, "duration supports one decimal place")
    return float(value)


def _bounded(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and 1 <= int(text) <= most):
        raise Refusal(1201, f"{name} must be between 1 and {most}")
    return int(text)
