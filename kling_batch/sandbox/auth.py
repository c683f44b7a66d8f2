"""Who may call: a static key, or a JWT that the secret key signed."""

from __future__ import annotations

import jwt

from kling_batch.sandbox.settings import WorldSettings
from kling_batch.sandbox.wire import Refusal


def check_authorization(header: str | None, settings: WorldSettings, now: float) -> None:
    """Let a call pass.

    Raises:
        Refusal: 1001 without a header, 1002 for what is no key or token of this account, 1003 for a token
            from the future, 1004 for one of the past.
    """
    if not header or not header.strip():
        raise Refusal(1001)
    scheme, _, token = header.partition(" ")
    if scheme != "Bearer":
        raise Refusal(1002, "Authorization is invalid")
    if token == settings.api_key:
        return
    try:
        read = jwt.decode_complete(
            token,
            settings.secret_key,
            algorithms=["HS256"],
            issuer=settings.access_key,
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["iss", "exp"]},
        )
        valid_from, valid_until = float(read["payload"].get("nbf", 0)), float(read["payload"]["exp"])
    except (jwt.PyJWTError, TypeError, ValueError) as error:
        raise Refusal(1002) from error
    if read["header"].get("typ") != "JWT":
        raise Refusal(1002)
    if valid_from > now:
        raise Refusal(1003)
    if valid_until <= now:
        raise Refusal(1004)
