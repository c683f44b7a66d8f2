"""Tokens for the API host. Keys come from the environment and go nowhere else: they hide in every repr."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kling_batch.errors import UsageError

TOKEN_LIFE_S = 1800
"""How long a token is valid: what the official sample signs for. The longest accepted life is not documented."""
BACKDATED_S = 5
"""How far `nbf` lies in the past: what the official sample does, the only documented allowance for skew."""
_SIGN_ANEW_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """A static key, or an access key with its secret; and the secrets with which the account's callbacks are signed."""

    api_key: str | None = field(default=None, repr=False)
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)

    def fingerprint(self, base_url: str) -> str:
        """Name the service and the account, without giving the key away: 64 bits of a hash."""
        account = self.api_key or self.access_key or ""
        return hashlib.sha256(f"{base_url}\n{account}".encode()).hexdigest()[:16]

    def signer(self, now: Callable[[], float]) -> Signer:
        """Make what signs with these keys. `now` gives Unix seconds."""
        return Signer(self, now)


def keys_from(environment: Mapping[str, str]) -> Keys:
    """Take the keys from the environment.

    Raises:
        UsageError: They are missing, half there, or would break an HTTP header.
    """
    names = ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY")
    api_key, access, secret = keys = [environment.get(name, "").strip() for name in names]
    for name, value in zip(names, keys, strict=True):
        if not value.isascii() or any(char.isspace() or not char.isprintable() for char in value):
            raise UsageError(
                f"{name} holds a character that no key has (its value is not shown).",
                hint="Copy the key anew, without spaces, quotes or line breaks.",
            )
    webhook_secrets = tuple(environment.get("KLING_WEBHOOK_SECRET", "").replace(",", " ").split())
    if api_key:
        return Keys(api_key=api_key, webhook_secrets=webhook_secrets)
    if access and secret:
        return Keys(access_key=access, secret_key=secret, webhook_secrets=webhook_secrets)
    if access or secret:
        missing = "KLING_SECRET_KEY" if access else "KLING_ACCESS_KEY"
        raise UsageError(
            f"{missing} is not set, and the other half of the pair is.",
            hint=f"Set {missing}, or KLING_API_KEY alone.",
        )
    raise UsageError(
        "There are no keys: neither KLING_API_KEY nor KLING_ACCESS_KEY with KLING_SECRET_KEY is set.",
        hint="Set them in the environment, or try it without keys: kling-batch run MANIFEST --sandbox.",
    )


class Signer:
    """Gives the token for the next call: a static key as it is, or a JWT (HS256), signed anew before it expires."""

    def __init__(self, keys: Keys, now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._skew_s = 0.0
        self._token: str | None = None
        self._expires = 0.0
        self._signed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Signer(..., skew_s={self._skew_s:.0f})"

    def token(self) -> str:
        """Give the bearer token, valid now."""
        if self._keys.api_key:
            return self._keys.api_key
        now = self._now() + self._skew_s
        if self._token is None or now > self._expires - _SIGN_ANEW_S:
            import jwt.warnings

            self._expires = now + TOKEN_LIFE_S
            claims = {"iss": self._keys.access_key, "exp": int(self._expires), "nbf": int(now) - BACKDATED_S}
            with warnings.catch_warnings():
                # A short secret is the service's choice, and this warning would name it nowhere useful.
                warnings.simplefilter("ignore", jwt.warnings.InsecureKeyLengthWarning)
                self._token = jwt.encode(claims, self._keys.secret_key or "", algorithm="HS256")
            self._signed += (self._token,)
        return self._token

    def sign_again(self, service_time: float | None = None) -> bool:
        """Forget the token at hand; go by `service_time` (Unix seconds) from now on. False: a new one cannot differ."""
        if service_time is not None:
            self._skew_s = service_time - self._now()
        self._token = None
        return not self._keys.api_key

    def secrets(self) -> tuple[str, ...]:
        """Say what must never be shown: the keys, and every token that was signed with them."""
        keys = self._keys
        signing = (secret.removeprefix("whsec_") for secret in keys.webhook_secrets)
        return (*filter(None, (keys.api_key, keys.secret_key, keys.access_key)), *signing, *self._signed)
