"""What faults make of an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus

from kling_batch.sandbox.faults import Strike
from kling_batch.sandbox.wire import Loss, Response

_BEFORE = {"lost-before", "error-before", "garbage-before", "gateway", "refuse"}
_WRONG_SHAPE = {"code": 0, "message": "SUCCEED", "data": [{"task_id": None}, "task", 7]}


def is_before(strike: Strike) -> bool:
    """Say whether the call is struck before the service does anything about it."""
    return not _BEFORE.isdisjoint(strike)


def travelling(response: Response, strike: Strike, now: float, latency_s: float) -> Response:
    """Have an answer take its time, or get lost."""
    lost = strike.get("lost-before") or strike.get("lost-after")
    loss = Loss.NEVER_OPENED if "no-connection" in strike else Loss(lost) if lost else response.loss
    return replace(
        response,
        headers={"date": formatdate(now, usegmt=True), "content-length": str(len(response.body)), **response.headers},
        delay_s=response.delay_s + strike["delay_s"] + latency_s,
        loss=loss,
    )


def page(status: int) -> Response:
    """Make a gateway's page."""
    title = f"{status} {HTTPStatus(status).phrase}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>openresty</body>\r\n</html>\r\n"
    return Response(status=status, headers={"content-type": "text/html"}, body=body.encode())


def garbage(kind: str, answer: bytes) -> Response:
    """Make an answer that says nothing: `html`, `text`, `empty`, `truncated` or `shape`."""
    if kind == "html":
        return page(502)
    if kind == "truncated":
        body = answer[: len(answer) * 2 // 3]
    elif kind == "shape":
        body = json.dumps(_WRONG_SHAPE).encode()
    else:
        body = b"" if kind == "empty" else b"upstream connect error or disconnect"
    return Response(status=200, headers={"content-type": "application/json"}, body=body)
