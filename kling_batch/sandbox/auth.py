"""Who may call: a static key, or a JWT that the secret key signed."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass

import jwt

from kling_batch.sandbox.settings import WorldSettings
from kling_batch.sandbox.wire import Refusal

_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    valid_from: float
    valid_until: float


class Doorkeeper:
    """Checks the `Authorization` header. A signature that was right once is not computed again."""

    def __init__(self, settings: WorldSettings) -> None:
        self._settings = settings
        self._known: dict[str, _Window] = {}

    def check(self, header: str | None, now: float) -> None:
        """Let a call pass.

        Raises:
            Refusal: 1001 without a header, 1002 for what is no key or token of this account, 1003 for a token
                from the future, 1004 for one of the past.
        """
        if not header or not header.strip():
            raise Refusal(1001)
        scheme, _, token = header.partition(" ")
        if scheme != "Bearer" or not token or token != token.strip():
            raise Refusal(1002, "Authorization is invalid")
        if hmac.compare_digest(token.encode(), self._settings.api_key.encode()):
            return
        window = self._known.get(token) or self._read(token)
        if window.valid_from > now:
            raise Refusal(1003)
        if window.valid_until <= now:
            raise Refusal(1004)

    def _read(self, token: str) -> _Window:
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                self._settings.secret_key,
                algorithms=["HS256"],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["iss", "exp"]},
            )
        except jwt.PyJWTError as error:
            raise Refusal(1002) from error
        window = _window(claims.get("nbf", 0), claims["exp"])
        if claims["iss"] != self._settings.access_key or header.get("typ") != "JWT" or window is None:
            raise Refusal(1002)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[token] = window
        return window


def _window(valid_from: object, valid_until: object) -> _Window | None:
    if not isinstance(valid_from, int | float) or not isinstance(valid_until, int | float):
        return None
    if not math.isfinite(valid_from) or not math.isfinite(valid_until):
        return None
    return _Window(valid_from=valid_from, valid_until=valid_until)
