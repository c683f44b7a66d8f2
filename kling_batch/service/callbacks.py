"""Hearing what the service tells of its own accord: a small HTTP receiver, which knows what is signed.

Whoever finds the address can send anything. So what comes is bounded in bytes, time and number, and nothing that comes
ends a run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kling_batch.errors import UsageError
from kling_batch.service import wire
from kling_batch.service.client import PLAIN_URL, is_loopback

if TYPE_CHECKING:
    from standardwebhooks import Webhook

LARGEST_BODY = 1 << 20
"""Bytes of a callback: it tells of one task."""
REQUEST_S = 10.0
"""Seconds that a callback may take to arrive."""
MOST_CONNECTIONS = 64
MOST_WAITING = 1000
"""Callbacks that are kept until the run takes them in; what comes then is forgotten, and polling finds it."""
_LARGEST_HEAD = 16 << 10
_HINT = "Give an address that the service can reach, such as https://hooks.example.com/kling; see docs/callbacks.md."

_log = logging.getLogger("kling_batch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where the service shall call, and where this machine listens for it."""

    url: str
    host: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """What somebody says of a task, as its fields. Only what is `signed` comes from the service for sure."""

    fields: Mapping[str, Any]
    signed: bool


def address_of(url: str, listen: str) -> Address:
    """Read what a person writes: a URL, and `HOST:PORT`.

    Raises:
        UsageError: The URL is no https URL, nor http on this machine; or there is no such place to listen.
    """
    if not _is_reachable(url):
        raise UsageError("--callback-url is no https URL, nor http on this machine.", hint=_HINT)
    try:
        place = urlsplit(f"//{listen}")
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if not host or not port or place.netloc != listen or "@" in listen:
        raise UsageError(f"--listen {listen} is not of the form HOST:PORT.", hint="Such as --listen 0.0.0.0:8765.")
    return Address(url=url, host=host, port=port)


def _is_reachable(url: str) -> bool:
    """Whether it is an address to which the service may tell of tasks: what is said there is nobody else's."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    return bool(secure and host and PLAIN_URL.fullmatch(url) and "@" not in parts.netloc)


@asynccontextmanager
async def listening(
    address: Address, secrets: Iterable[str], *, struck: Callable[[], Iterable[str]]
) -> AsyncIterator[asyncio.Queue[Callback]]:
    """Listen for callbacks, which come in what it gives.

    Args:
        address: Where.
        secrets: What the service signs with: any of them will do.
        struck: Says which secrets are struck out of what comes.

    Raises:
        UsageError: It cannot be listened there, or signatures cannot be checked.
    """
    receiver = _Receiver(_checkers(secrets), struck)
    try:
        server = await asyncio.start_server(receiver.serve, address.host, address.port, limit=_LARGEST_HEAD)
    except OSError as error:
        raise UsageError(
            f"--listen {address.host}:{address.port}: {error.strerror or error}",
            hint="Choose another port, or an address of this machine, and let --callback-url lead there.",
        ) from None
    try:
        yield receiver.inbox
    finally:
        server.close()
        receiver.close()


def _checkers(secrets: Iterable[str]) -> list[Webhook]:
    """Make what checks signatures. A secret that is none is not repeated.

    Raises:
        UsageError: A secret is none, or the extra `callbacks` is not installed.
    """
    if not (given := list(secrets)):
        return []
    try:
        from standardwebhooks import Webhook
    except ModuleNotFoundError:
        raise UsageError(
            "KLING_WEBHOOK_SECRET is set, and signatures are checked by the extra `callbacks`, which is not installed.",
            hint="Install it: pip install 'kling-batch[callbacks]'. Or unset it: then callbacks are hints alone.",
        ) from None
    try:
        return [Webhook(secret) for secret in given]
    except Exception:  # noqa: BLE001 - the library has its own, and those of base64
        raise UsageError(
            "KLING_WEBHOOK_SECRET holds what is no secret of webhooks (it is not shown).",
            hint="Copy it anew from the console: whsec_ and Base64. While it is replaced, both, with a space between.",
        ) from None


class _Refused(Exception):
    """A request that is not taken, and the status that says so."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class _Receiver:
    """Answers connections, one request each."""

    def __init__(self, checkers: list[Webhook], struck: Callable[[], Iterable[str]]) -> None:
        self.inbox: asyncio.Queue[Callback] = asyncio.Queue(MOST_WAITING)
        self._checkers = checkers
        self._struck = struck
        self._open: set[asyncio.StreamWriter] = set()

    def close(self) -> None:
        """Hang up on whoever is still talking."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what a connection brings. Nothing that goes wrong here concerns the run."""
        self._open.add(writer)
        try:
            async with asyncio.timeout(REQUEST_S):
                status = await self._status(reader)
                writer.write(f"HTTP/1.1 {status} {status.phrase}\r\n{_CLOSING}".encode())
                await writer.drain()
        except (OSError, TimeoutError):
            pass
        except Exception:  # noqa: BLE001 - whoever calls cannot end the run
            _log.exception("A callback met a bug")
        finally:
            self._open.discard(writer)
            writer.close()

    async def _status(self, reader: asyncio.StreamReader) -> HTTPStatus:
        """Take a request, and say what to answer."""
        if len(self._open) > MOST_CONNECTIONS:
            return HTTPStatus.SERVICE_UNAVAILABLE
        try:
            headers, body = await _request(reader)
        except _Refused as refused:
            return refused.status
        except asyncio.LimitOverrunError:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        except (EOFError, ValueError):
            return HTTPStatus.BAD_REQUEST
        fields = wire.read_callback(body, self._struck())
        if fields is None:
            return HTTPStatus.BAD_REQUEST
        with suppress(asyncio.QueueFull):
            signed = any(_checks(checker, headers, body) for checker in self._checkers)
            self.inbox.put_nowait(Callback(fields=fields, signed=signed))
        return HTTPStatus.OK


_CLOSING = "Content-Length: 0\r\nConnection: close\r\n\r\n"


def _checks(checker: Webhook, headers: dict[str, str], body: bytes) -> bool:
    """Whether a body carries a signature of the last five minutes."""
    from standardwebhooks import WebhookVerificationError

    try:
        checker.verify(body, headers)
    except (WebhookVerificationError, ValueError):  # the latter from headers that are not of the form
        return False
    return True


async def _request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """Read a POST.

    Raises:
        _Refused: It is none, or too large.
        EOFError: It broke off.
        ValueError: It is no HTTP.
        asyncio.LimitOverrunError: A line, or all headers together, are too long.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, _, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise _Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method != "POST":
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return headers, await _chunks(reader)
    return headers, await reader.readexactly(_size(headers.get("content-length", ""), 10))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a body that comes in pieces, as tunnels send it."""
    body = bytearray()
    while size := _size((await reader.readuntil(b"\r\n")).decode("latin-1").partition(";")[0].strip(), 16):
        _size(f"{len(body) + size}", 10)
        body += (await reader.readexactly(size + 2))[:-2]
    return bytes(body)


def _size(text: str, base: int) -> int:
    """Read how many bytes there are.

    Raises:
        _Refused: They are too many.
        ValueError: It is no number.
    """
    if not text.isalnum() or not text.isascii():
        raise ValueError(text)
    size = int(text, base)
    if size > LARGEST_BODY:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return size
