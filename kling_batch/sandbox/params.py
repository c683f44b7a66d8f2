"""What a call may ask for: the documentation's limits, refused in the manner of the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kling_batch.sandbox.kinds import Kind
from kling_batch.sandbox.wire import Refusal

_LAST_PAGE = 1000
_MOST_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a create call asks for.

    `external_id` is empty where none was given; where a kind knows none, its words stand for it in the books.
    """

    kind: Kind
    fields: Mapping[str, Any]
    words: str
    external_id: str

    @property
    def subject(self) -> str:
        """What a fault rule's `match` looks into."""
        return f"{self.kind.name} {self.words} {self.external_id}"


def read_order(kind: Kind, body: bytes) -> Order:
    """Read the body of a create call.

    Raises:
        Refusal: 1200 for what is no JSON object, 1201 for a field that is wrong.
    """
    given = read_object(body)
    unknown = sorted(given.keys() - kind.fields)
    if unknown:
        raise Refusal(1201, f"unknown parameter: {unknown[0]}")
    fields = {name: read(name, given.get(name)) for name, read in kind.fields.items()}
    if kind.sources and sum(bool(fields[name]) for name in kind.sources) != 1:
        raise Refusal(1201, f"exactly one of these must have a value: {', '.join(kind.sources)}")
    words = " ".join(filter(None, (fields[name] for name in kind.words)))
    external_id = words if kind.answers_at_once else fields["external_task_id"]
    return Order(kind=kind, fields=fields, words=words, external_id=external_id)


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body.

    Raises:
        Refusal: 1200 for what is no JSON object.
    """
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise Refusal(1200, "The request body is not valid JSON") from error
    if not isinstance(fields, dict):
        raise Refusal(1200, "The request body is not a JSON object")
    return fields


def read_page(query: Mapping[str, str], largest: int) -> tuple[int, int]:
    """Read the number and the size of the page that a list call asks for.

    Raises:
        Refusal: 1201 for a figure out of its bounds.
    """
    return _bounded(query, "pageNum", 1, _LAST_PAGE), _bounded(query, "pageSize", 30, largest)


def read_window(query: Mapping[str, str]) -> None:
    """Check the two times of a call for the account's packs.

    Raises:
        Refusal: 1201 when one is missing or is no time in milliseconds.
    """
    for name in ("start_time", "end_time"):
        if not query.get(name, "").isdecimal():
            raise Refusal(1201, f"{name} is required, in milliseconds")


def _bounded(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and 1 <= int(text) <= most):
        raise Refusal(1201, f"{name} must be between 1 and {most}")
    return int(text)
