"""The sandbox's own side of the wire: requests, answers, the envelope and the error table, `codes.json`.

Codes and HTTP statuses are the documentation's. Message texts are exact where a real one was ever seen (`SUCCEED`,
1001, 1002, 1102, 1303); the others are made up in the same manner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Loss(Enum):
    """How an answer can fail to arrive."""

    NEVER_OPENED = "never-opened"
    """The connection was not taken: the call never left the client."""
    CLOSED = "closed"
    """The connection was closed in good order, without an answer."""
    RESET = "reset"
    """The connection broke."""
    SILENCE = "timeout"
    """Nothing comes, until the client gives up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A call. Header names are lower case; `path` is decoded and carries no query."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """An answer, and how it travels.

    `delay_s` passes before it is sent. With a `loss` it is not sent at all. `cut_at` is the number of bytes of the
    body after which the connection breaks; `bytes_per_s` is the pace at which the body comes.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    loss: Loss | None = None
    cut_at: int | None = None
    bytes_per_s: float | None = None

    def json(self) -> Any:
        """Read the body, for tests and tools."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeRow:
    """A code's HTTP status and its usual words."""

    http: int
    message: str


_ROWS = json.loads(Path(__file__).with_name("codes.json").read_text(encoding="utf-8"))
CODES: Mapping[int, CodeRow] = {int(code): CodeRow(**row) for code, row in _ROWS.items()}
"""What the service can refuse with."""


class Refusal(Exception):
    """A call is refused with a code. `message` replaces the code's usual words."""

    def __init__(self, code: int, message: str | None = None) -> None:
        self.code = code
        self.message = message or CODES[code].message
        super().__init__(f"{code}: {self.message}")


def compact(value: Any) -> bytes:
    """Write JSON as the service does: compact, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def envelope(code: int, message: str, request_id: str, data: bytes | None) -> bytes:
    """Wrap `data`, which is JSON already. None leaves it out."""
    head = b'{"code":%d,"message":%b,"request_id":"%b"' % (code, compact(message), request_id.encode())
    return head + (b"}" if data is None else b',"data":' + data + b"}")
