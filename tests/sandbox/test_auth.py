"""Who may call, and which code says why not."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from kling_batch.sandbox.settings import SANDBOX_ACCESS_KEY, SANDBOX_SECRET_KEY
from kling_batch.sandbox.wire import Request
from kling_batch.sandbox.world import TASKS_PATH


def code_for(caller: Any, header: str | None) -> tuple[int, int]:
    headers = {} if header is None else {"authorization": header}
    reply = caller.world.handle(Request(method="GET", path=TASKS_PATH, headers=headers))
    return reply.status, reply.json()["code"]


def bearer(
    now: float,
    *,
    key: str = SANDBOX_ACCESS_KEY,
    secret: str = SANDBOX_SECRET_KEY,
    start: float = -5,
    stop: float = 1800,
    algorithm: str = "HS256",
) -> str:
    claims = {"iss": key, "exp": int(now + stop), "nbf": int(now + start)}
    return "Bearer " + jwt.encode(claims, secret, algorithm)


def test_a_signed_token_and_the_static_key_pass(caller: Any) -> None:
    """Both ways of the documentation open the door."""
    assert code_for(caller, bearer(caller.clock.now)) == (200, 0)
    assert code_for(caller, "Bearer sandbox-api-key") == (200, 0)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ({"key": "somebody-else"}, 1002),
        ({"secret": "another-secret-that-is-long-enough-for-hs256"}, 1002),
        ({"algorithm": "HS512", "secret": SANDBOX_SECRET_KEY + "x" * 64}, 1002),
        ({"start": 1}, 1003),
        ({"stop": 0}, 1004),
        ({"stop": -1}, 1004),
        ({"start": 0, "stop": 1}, 0),
    ],
)
def test_tokens_are_checked(caller: Any, token: dict[str, Any], code: int) -> None:
    """1002 for a wrong key or signature, 1003 for a token of the future, 1004 for one of the past."""
    assert code_for(caller, bearer(caller.clock.now, **token)) == (200 if code == 0 else 401, code)


@pytest.mark.parametrize("header", [None, "", "   "])
def test_no_header_is_1001(caller: Any, header: str | None) -> None:
    """Without a header the refusal is 1001."""
    assert code_for(caller, header) == (401, 1001)


@pytest.mark.parametrize("header", ["Bearer", "Basic x", "Bearer  two-spaces", "Bearer nonsense", "Bearer a.b.c"])
def test_a_header_that_is_no_token_is_1002(caller: Any, header: str) -> None:
    """What cannot be read as a token of this account is 1002."""
    assert code_for(caller, header) == (401, 1002)


@pytest.mark.parametrize("claims", [{}, {"iss": SANDBOX_ACCESS_KEY}, {"iss": SANDBOX_ACCESS_KEY, "exp": "soon"}])
def test_claims_are_required(caller: Any, claims: dict[str, Any]) -> None:
    """A token without issuer or end, or with an end that is no time, is 1002."""
    assert code_for(caller, "Bearer " + jwt.encode(claims, SANDBOX_SECRET_KEY, "HS256")) == (401, 1002)


def test_a_known_token_still_ends(caller: Any) -> None:
    """A token that was let in before is refused once its time is over."""
    token = bearer(caller.clock.now)
    assert code_for(caller, token) == (200, 0)
    caller.clock.now += 1800
    assert code_for(caller, token) == (401, 1004)


def test_authorization_comes_before_everything_else(caller: Any) -> None:
    """Even a wrong body is refused for its token first."""
    reply = caller.world.handle(Request(method="POST", path=TASKS_PATH, body=b"{"))
    assert reply.json()["code"] == 1001
    assert reply.json()["message"] == "Authorization is empty"
