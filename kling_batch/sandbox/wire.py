"""The sandbox's own side of the wire: requests, answers, the envelope and the error table.

Codes and HTTP statuses are the documentation's. Message texts are exact where a real one was ever seen (`SUCCEED`,
1001, 1002, 1102, 1303); the others are made up in the same manner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
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


CODES: Mapping[int, CodeRow] = {
    1000: CodeRow(http=401, message="Authentication failed"),
    1001: CodeRow(http=401, message="Authorization is empty"),
    1002: CodeRow(http=401, message="api key not found"),
    1003: CodeRow(http=401, message="Authorization is not yet valid"),
    1004: CodeRow(http=401, message="Authorization has expired"),
    1100: CodeRow(http=429, message="Account exception"),
    1101: CodeRow(http=429, message="Account in arrears"),
    1102: CodeRow(http=429, message="Account balance not enough"),
    1103: CodeRow(http=403, message="No permission for the requested resource"),
    1200: CodeRow(http=400, message="Invalid request parameters"),
    1201: CodeRow(http=400, message="Invalid parameter"),
    1202: CodeRow(http=404, message="The requested method is invalid"),
    1203: CodeRow(http=404, message="The requested resource does not exist"),
    1300: CodeRow(http=400, message="The platform's policy was triggered"),
    1301: CodeRow(http=400, message="The content security policy was triggered"),
    1302: CodeRow(http=429, message="Request too fast, exceeds the rate limit"),
    1303: CodeRow(http=429, message="parallel task over resource pack limit"),
    1304: CodeRow(http=429, message="The IP address is not on the whitelist"),
    5000: CodeRow(http=500, message="Internal error"),
    5001: CodeRow(http=503, message="Service temporarily unavailable"),
    5002: CodeRow(http=504, message="Internal timeout"),
}
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
