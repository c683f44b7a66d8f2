"""What came of the calls for speech, as the network saw it: a lost answer is lost for good."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

_FAILED = {"failed", "cancelled", "canceled", "expired"}
_SERVICE_TROUBLE = 5000
"""Codes from here on, and HTTP statuses from 500 on, say nothing of what was done."""
_SERVER_ERROR = 500


@dataclass(slots=True)
class SpeechBook:
    """Counts calls by the text that is to be spoken.

    `lost` are those whose sender could not know what came of them: no whole answer arrived, or none that says anything.
    `made` are those that were answered with a result.
    """

    lost: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)

    async def noted(
        self, request: httpx.Request, send: Callable[[httpx.Request], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        """Send a call for speech, and note what came of it. It is lost until it is heard of."""
        text = str(json.loads(request.content)["text"])
        self.lost[text] += 1
        try:
            response = await send(request)
        except httpx.ConnectError:  # it never left
            self.lost[text] -= 1
            raise
        body = await response.aread()
        match _status(response.status_code, body):
            case None:
                pass
            case "succeeded":
                self.lost[text] -= 1
                self.made[text] += 1
            case _:
                self.lost[text] -= 1
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))


def _status(http_status: int, body: bytes) -> str | None:
    """Say whether an answer tells of a result, of a failure or of a refusal; None where it tells of nothing."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    code, data = answer.get("code"), answer.get("data")
    if code != 0:
        return "refused" if http_status < _SERVER_ERROR and code < _SERVICE_TROUBLE else None
    if not isinstance(data, dict) or not data.get("task_id"):
        return None
    return "failed" if str(data["task_status"]).lower() in _FAILED else "succeeded"
