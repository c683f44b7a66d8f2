"""The door to httpx: the calls of the API, each with an outcome instead of an exception.

The one thing that must never go wrong here is the border between *not sent* and *unclear*. httpx raises
`ConnectError` and `ConnectTimeout` before anything is sent, and `PoolTimeout` before there is a connection at
all; whatever else it raises may have come after the service read the call.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote, urlsplit

from kling_batch import __version__
from kling_batch.effects import Probe, no_probe
from kling_batch.errors import UsageError
from kling_batch.service import wire
from kling_batch.service.codes import Reaction, reaction
from kling_batch.service.outcomes import CreateOutcome, ListOutcome, NotSent, QueryOutcome, ReadFailed, Refused, Unclear

if TYPE_CHECKING:
    import httpx

    from kling_batch.service.auth import Signer

DEFAULT_BASE_URL = "https://api-singapore.klingai.com"
"""The service's host for servers outside mainland China [official pages]."""
ACCOUNT_PATH = "/account/costs"
MOST_CONNECTIONS = 8
"""Connections to the API host. httpx's pool costs the product of connections and waiting requests: few are faster."""
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
LONGEST_PAGE = 500
"""The most rows a page of the list may have [official pages]."""
_TIMEOUT_S = {"connect": CONNECT_TIMEOUT_S, "read": READ_TIMEOUT_S, "write": READ_TIMEOUT_S, "pool": None}
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": f"kling-batch/{__version__}",
}
_PLAIN_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""What may stand in a URL at all (RFC 3986)."""
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


class Service(Protocol):
    """What the engine may ask of the service."""

    @property
    def requests(self) -> int:
        """How many API requests were sent so far."""
        ...

    async def create(self, path: str, request: Mapping[str, Any], external_id: str) -> CreateOutcome:
        """Ask for a task. Never repeats a call that may have been read."""
        ...

    async def query(self, path: str, any_id: str) -> QueryOutcome:
        """Ask for one task, by its task id or its external id. Does not retry."""
        ...

    async def page(self, path: str, number: int, size: int) -> ListOutcome:
        """Ask for a page of the account's tasks, from page 1, of at most 500 rows. Does not retry."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lost:
    """No answer. `sent` False: the connection never opened."""

    reason: str
    sent: bool


def checked_base_url(url: str) -> str:
    """Check where the token would go: https, or http on this machine alone.

    Raises:
        UsageError: The URL would carry the token in the clear, or is none.
    """
    hint = f"Set KLING_BASE_URL to https://HOST, such as {DEFAULT_BASE_URL}, or unset it."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("KLING_BASE_URL is not a URL.", hint=hint) from None
    if not _PLAIN_URL.fullmatch(url):
        raise UsageError("KLING_BASE_URL holds a character that has no place in an address.", hint=hint)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host):
        raise UsageError("KLING_BASE_URL is not an http or https URL with a host.", hint=hint)
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise UsageError("KLING_BASE_URL holds more than scheme, host, port and path.", hint=hint)
    if parts.scheme == "http" and not _loopback(host):
        raise UsageError(f"KLING_BASE_URL would send the token to {host} unencrypted.", hint=hint)
    return url.rstrip("/")


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_client(base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> ApiClient:
    """Make the HTTP client for the API host; `transport` stands in for the network.

    Raises:
        UsageError: httpx takes the address, or a proxy's, for none. Their text is not shown: it may hold a password.
    """
    import httpx

    from kling_batch.connections import Spread, spread

    try:
        _address(base_url)
        # Plain http is for this machine alone: no proxy is told a token.
        way = Spread if urlsplit(base_url).scheme == "http" else spread
        return ApiClient(base_url, transport or way(MOST_CONNECTIONS))
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        raise UsageError(
            f"No HTTP client can be made for KLING_BASE_URL or the proxy that is set ({type(error).__name__}).",
            hint="KLING_BASE_URL, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or NO_PROXY is no address: mend or unset it.",
        ) from None


@lru_cache(maxsize=64)
def _address(url: str) -> httpx.URL:
    """Read an address. Most calls have the same one."""
    import httpx

    return httpx.URL(url)


class ApiClient:
    """An HTTP client for the API host alone: an async context manager.

    It keeps no cookie and follows no redirect, so that the token cannot be led away. httpx's own client, which would
    have to be kept from both, is up to half of what a call costs.

    Args:
        base_url: Where the service's paths begin.
        transport: The way there; closed with the client.
    """

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport) -> None:
        self._base_url = base_url
        self._transport = transport

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def send(self, method: str, path: str, *, token: str, body: bytes | None) -> httpx.Response:
        """Make a call, and read its answer whole.

        Raises:
            httpx.HTTPError: There was no answer, or not all of it.
            httpx.InvalidURL: The path makes no address.
        """
        import httpx

        headers = {**_HEADERS, "Authorization": f"Bearer {token}"}
        url = _address(self._base_url + path)
        request = httpx.Request(method, url, headers=headers, content=body, extensions={"timeout": _TIMEOUT_S})
        response = await self._transport.handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response


class KlingService:
    """The real service, over HTTP: see `Service` for the calls.

    A refused token is signed anew and the call repeated once: a call that was refused for its token made nothing.
    `date` is the service's time at its latest answer, in Unix seconds; whole ones, as HTTP has them.
    """

    def __init__(self, http: ApiClient, signer: Signer, *, probe: Probe = no_probe) -> None:
        self._http = http
        self._signer = signer
        self._probe = probe
        self.requests = 0
        self.date: float | None = None

    async def create(self, path: str, request: Mapping[str, Any], external_id: str) -> CreateOutcome:
        """See `Service.create`."""
        body = json.dumps({**request, "external_task_id": external_id}, ensure_ascii=False).encode()
        reply = await self._signed(lambda: self._send("POST", path, body))
        if isinstance(reply, _Lost):
            return Unclear(reason=reply.reason) if reply.sent else NotSent(reason=reply.reason)
        return wire.read_create(reply, external_id)

    async def query(self, path: str, any_id: str) -> QueryOutcome:
        """See `Service.query`."""
        reply = await self._signed(lambda: self._send("GET", f"{path}/{quote(any_id, safe='')}"))
        return ReadFailed(reason=reply.reason) if isinstance(reply, _Lost) else wire.read_query(reply, any_id)

    async def page(self, path: str, number: int, size: int) -> ListOutcome:
        """See `Service.page`."""
        reply = await self._signed(lambda: self._send("GET", f"{path}?pageNum={number}&pageSize={size}"))
        return ReadFailed(reason=reply.reason) if isinstance(reply, _Lost) else wire.read_list(reply)

    async def account(self, start_ms: int, end_ms: int) -> Mapping[str, Any] | Refused | ReadFailed:
        """Ask for the resource packs between two Unix times. Free; the service wants at most one call a second."""
        window = f"start_time={start_ms}&end_time={end_ms}"
        reply = await self._signed(lambda: self._send("GET", f"{ACCOUNT_PATH}?{window}"))
        return ReadFailed(reason=reply.reason) if isinstance(reply, _Lost) else wire.read_data(reply)

    async def _signed(self, send: Callable[[], Awaitable[wire.Reply | _Lost]]) -> wire.Reply | _Lost:
        reply = await send()
        if isinstance(reply, _Lost):
            return reply
        return await send() if self._sign_again(reply) else reply

    def _sign_again(self, reply: wire.Reply) -> bool:
        """Decide whether another token could help. The service's `Date` mends a clock that is wrong.

        A code about tokens inside a 5xx is no refusal: what it answers may have been done, and is not repeated.
        """
        if wire.begins_accepted(reply):
            return False
        code = wire.code_of(reply)
        match None if code is None else reaction(code, reply.status):
            case Reaction.SIGN_AGAIN:
                return self._signer.sign_again(reply.date if code == _EXPIRED else None)
            case Reaction.CHECK_CLOCK if reply.date is not None:
                return self._signer.sign_again(reply.date)
            case _:
                return False

    async def _send(self, method: str, path: str, body: bytes | None = None) -> wire.Reply | _Lost:
        import httpx

        token = self._signer.token()
        self._probe(f"send {method}")
        self.requests += 1
        try:
            response = await self._http.send(method, path, token=token, body=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return _Lost(reason=_words(error), sent=False)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return _Lost(reason=_words(error), sent=True)
        self._probe(f"answer {method}")
        self.date = _date(response.headers.get("date"))
        return wire.Reply(status=response.status_code, body=response.content, date=self.date)


_EXPIRED = 1004


def _words(error: Exception) -> str:
    """Name what happened. httpx's own messages name hosts and errors of the operating system, and no header."""
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name


def _date(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, OverflowError):
        return None
