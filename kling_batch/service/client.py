"""The door to httpx: the calls of the API, each with an outcome instead of an exception.

The one thing that must never go wrong here is the border between *not sent* and *unclear*. httpx raises
`ConnectError` and `ConnectTimeout` before anything is sent, and `PoolTimeout` before there is a connection at
all; whatever else it raises may have come after the service read the call.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from kling_batch import __version__
from kling_batch.catalog import Kind, Made
from kling_batch.effects import Probe, no_probe
from kling_batch.errors import UsageError
from kling_batch.service import wire
from kling_batch.service.codes import Reaction, reaction
from kling_batch.service.outcomes import (
    Absent,
    CreateOutcome,
    ListOutcome,
    MadePage,
    NotSent,
    QueryOutcome,
    ReadFailed,
    Refused,
    Unclear,
)

if TYPE_CHECKING:
    import httpx

    from kling_batch.service.auth import Signer

T = TypeVar("T")

DEFAULT_BASE_URL = "https://api-singapore.klingai.com"
"""The service's host for servers outside mainland China [official pages]."""
ACCOUNT_PATH = "/account/costs"
MOST_CALLS = 8
"""Calls at once, one for each connection of `http.open_client`: a call waits here, where its time does not run."""
CALL_TIMEOUT_S = 60.0
"""Seconds that a call may take, from its connection to the last byte of the answer."""
LONGEST_CALL_S = 300.0
"""The same for a call whose answer is what it is paid for: that is not to be had again."""
LARGEST_ANSWER = 8 << 20
"""Bytes of an answer, unpacked: 16 kB for each row of the longest page."""
LONGEST_PAGE = 500
"""The most rows a page of the list may have [official pages]."""
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": f"kling-batch/{__version__}",
}
_HINT = f"Set KLING_BASE_URL to https://HOST, such as {DEFAULT_BASE_URL}, or unset it."
PLAIN_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""What may stand in a URL at all (RFC 3986)."""
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


MayLeave = Callable[[], bool]


def always() -> bool:
    """Let a call leave whenever it can."""
    return True


class Service(Protocol):
    """What the engine may ask of the service."""

    @property
    def requests(self) -> int:
        """How many API requests were sent so far."""
        ...

    @property
    def answers(self) -> int:
        """How many of them were answered, with whatever words."""
        ...

    async def create(
        self, kind: Kind, request: Mapping[str, Any], external_id: str, *, may_leave: MayLeave = always
    ) -> CreateOutcome:
        """Ask for a task, by our name for it where its kind takes one. Never repeats a call that may have been read.

        `may_leave` is asked right before the call leaves this machine, which waited for a connection.
        """
        ...

    async def query(self, kind: Kind, any_id: str) -> QueryOutcome:
        """Ask for one task, by its task id or its external id. Does not retry."""
        ...

    async def page(self, kind: Kind, number: int, size: int) -> ListOutcome:
        """Ask for a page of the account's tasks, from page 1, of at most 500 rows. Does not retry."""
        ...


class _TooLate(Exception):
    """A call is not to leave any more."""


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
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("KLING_BASE_URL is not a URL.", hint=_HINT) from None
    if not PLAIN_URL.fullmatch(url):
        raise UsageError("KLING_BASE_URL holds a character that has no place in an address.", hint=_HINT)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host):
        raise UsageError("KLING_BASE_URL is not an http or https URL with a host.", hint=_HINT)
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise UsageError("KLING_BASE_URL holds more than scheme, host, port and path.", hint=_HINT)
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(f"KLING_BASE_URL would send the token to {host} unencrypted.", hint=_HINT)
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_client(base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Open the HTTP client for the API host; `transport` stands in for the network.

    Raises:
        UsageError: The address, or a proxy's, cannot be used. No proxy is told a token in the clear.
    """
    import httpx

    from kling_batch.http import check_host, open_client

    by_proxy = urlsplit(base_url).scheme != "http"
    try:
        check_host(httpx.URL(base_url))
    except (httpx.InvalidURL, ValueError):
        raise UsageError("KLING_BASE_URL names a host that there cannot be.", hint=_HINT) from None
    return open_client(base_url, headers=_HEADERS, timeout_s=CALL_TIMEOUT_S, by_proxy=by_proxy, transport=transport)


class KlingService:
    """The real service, over HTTP: see `Service` for the calls.

    A refused token is signed anew and the call repeated once: a call that was refused for its token made nothing.
    `callback_url` is where the service shall tell of tasks. `date` is the service's time at its latest answer, in Unix
    seconds; whole ones, as HTTP has them.
    """

    def __init__(
        self, http: httpx.AsyncClient, signer: Signer, *, callback_url: str | None = None, probe: Probe = no_probe
    ) -> None:
        self._http = http
        self._signer = signer
        self._callback_url = callback_url
        self._probe = probe
        self._room = asyncio.Semaphore(MOST_CALLS)
        self.requests = 0
        self.answers = 0
        self.date: float | None = None

    async def create(
        self, kind: Kind, request: Mapping[str, Any], external_id: str, *, may_leave: MayLeave = always
    ) -> CreateOutcome:
        """See `Service.create`."""
        named = {} if kind.external_id is None else {kind.external_id: external_id}
        told = {} if None in {kind.callback, self._callback_url} else {kind.callback: self._callback_url}
        body = json.dumps({**request, **named, **told}, ensure_ascii=False).encode()
        seconds = LONGEST_CALL_S if kind.synchronous else CALL_TIMEOUT_S
        reply = await self._signed(kind.path, body, seconds, may_leave)
        if isinstance(reply, _Lost):
            return Unclear(reason=reply.reason) if reply.sent else NotSent(reason=reply.reason)
        return wire.read_create(reply, external_id, kind)

    async def query(self, kind: Kind, any_id: str) -> QueryOutcome:
        """See `Service.query`. There is no task of an id that would lead elsewhere, as `..` does."""
        if not wire.ID.fullmatch(any_id):
            return Absent()
        return await self._read(lambda reply: wire.read_query(reply, any_id, kind), f"{kind.path}/{any_id}")

    async def page(self, kind: Kind, number: int, size: int) -> ListOutcome:
        """See `Service.page`."""
        path = f"{kind.path}?pageNum={number}&pageSize={size}"
        return await self._read(lambda reply: wire.read_list(reply, kind), path)

    async def account(self, start_ms: int, end_ms: int) -> Mapping[str, Any] | Refused | ReadFailed:
        """Ask for the resource packs between two Unix times. Free; the service wants at most one call a second."""
        return await self._read(wire.read_data, f"{ACCOUNT_PATH}?start_time={start_ms}&end_time={end_ms}")

    async def made(self, kind: Kind, path: str, number: int) -> MadePage | Refused | ReadFailed:
        """Ask for a page of what tasks of a kind have made, from page 1, of `LONGEST_PAGE` rows. Free."""
        path = f"{path}?pageNum={number}&pageSize={LONGEST_PAGE}"
        return await self._read(lambda reply: wire.read_made(reply, kind), path)

    async def delete(self, made: Made, made_id: str) -> Absent | Refused | ReadFailed:
        """Delete what a task has made. May be repeated: what is gone stays so."""
        body = json.dumps({made.id: made_id}).encode()
        return await self._read(wire.read_deleted, made.delete, body)

    async def _read(self, read: Callable[[wire.Reply], T], path: str, body: bytes | None = None) -> T | ReadFailed:
        """Make a call that may be repeated, and read its answer."""
        reply = await self._signed(path, body)
        return ReadFailed(reason=reply.reason) if isinstance(reply, _Lost) else read(reply)

    async def _signed(
        self, path: str, body: bytes | None, seconds: float = CALL_TIMEOUT_S, may_leave: MayLeave = always
    ) -> wire.Reply | _Lost:
        reply = await self._send(path, body, seconds, may_leave)
        again = not isinstance(reply, _Lost) and self._sign_again(reply)
        return await self._send(path, body, seconds, may_leave) if again else reply

    def _sign_again(self, reply: wire.Reply) -> bool:
        """Decide whether another token could help. The service's `Date` mends a clock that is wrong.

        A code about tokens inside a 5xx is no refusal: what it answers may have been done, and is not repeated.
        """
        code = wire.code_of(reply)
        match None if code is None else reaction(code, reply.status):
            case Reaction.SIGN_AGAIN:
                return self._signer.sign_again(reply.date if code == _EXPIRED else None)
            case Reaction.CHECK_CLOCK if reply.date is not None:
                return self._signer.sign_again(reply.date)
            case _:
                return False

    async def _send(self, path: str, body: bytes | None, seconds: float, may_leave: MayLeave) -> wire.Reply | _Lost:
        async with self._room:
            return await self._call(path, body, seconds, may_leave)

    async def _call(self, path: str, body: bytes | None, seconds: float, may_leave: MayLeave) -> wire.Reply | _Lost:
        """Post what has a body, and get the rest."""
        import httpx

        from kling_batch.http import TooLarge, read_body, wait_for

        async def look(step: str, _: Mapping[str, Any]) -> None:
            if step.endswith("send_request_body.started") and not may_leave():
                raise _TooLate

        headers = {"Authorization": f"Bearer {self._signer.token()}"}
        content, method = bytearray(), "GET" if body is None else "POST"
        self._probe(f"send {method}")
        self.requests += 1
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(
                    method,
                    path,
                    headers=headers,
                    content=body,
                    timeout=wait_for(seconds),
                    extensions={} if may_leave is always else {"trace": look},
                ) as response,
            ):
                await read_body(response, LARGEST_ANSWER, content.extend)
        except _TooLate:
            return _Lost(reason="it had not left when it was too late for it", sent=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return self._lost(error, sent=False)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            return self._lost(error, sent=True)
        except TimeoutError:
            return _Lost(reason=f"no whole answer within {seconds:.0f} s", sent=True)
        except TooLarge:
            return _Lost(reason=f"an answer of more than {LARGEST_ANSWER} bytes", sent=True)
        self.answers += 1
        self._probe(f"answer {method}")
        self.date = _date(response.headers.get("date"))
        secrets = self._signer.secrets()
        return wire.Reply(status=response.status_code, body=bytes(content), date=self.date, secrets=secrets)

    def _lost(self, error: Exception, *, sent: bool) -> _Lost:
        """Name what happened. httpx's messages name hosts, errors of the system, and how a broken answer began."""
        words = wire.struck_out(str(error), self._signer.secrets())
        name = type(error).__name__ if sent else f"cannot connect to {self._http.base_url.netloc.decode()}"
        return _Lost(reason=f"{name}: {words or type(error).__name__}" if words or not sent else name, sent=sent)


_EXPIRED = 1004


def _date(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, OverflowError, IndexError, TypeError, OSError):
        return None
