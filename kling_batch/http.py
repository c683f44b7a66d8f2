"""What both doors to httpx have in common: how a client is made, which hosts there can be, and how much is read."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from urllib.request import getproxies

import httpx

from kling_batch.errors import UsageError

CONNECTIONS = 8
"""Connections to a host. httpx's pool costs the product of connections and waiting requests: few are faster."""
_DIRECT = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}
_HOST = re.compile(rb"([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f:.]+:[0-9a-f:.]*")
_LAST_PORT = 65535


class TooLarge(Exception):
    """A body has more bytes than anybody needs."""


def open_client(
    base_url: str = "",
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    by_proxy: bool = True,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Open a client that keeps no cookie, follows no redirect, and reaches this machine without a proxy.

    Args:
        base_url: What its paths are joined to.
        headers: What every request carries.
        timeout_s: The longest wait for an answer, or for more of it. A connection is waited for 10 seconds.
        by_proxy: Whether the proxies of the environment are asked for hosts elsewhere.
        transport: Stands in for the network.

    Raises:
        UsageError: A proxy, or a file of certificates, cannot be used. Its text is not shown: it may hold a password.
    """
    try:
        if by_proxy and transport is None:
            _check_proxies()
        return httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=wait_for(timeout_s),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            trust_env=by_proxy,
            mounts=_DIRECT,
            verify=transport is not None
            or _trusted(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), by_proxy),
            transport=transport,
        )
    except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:
        raise UsageError(
            f"No HTTP client can be made with the proxy or the certificates that are set ({type(error).__name__}).",
            hint="Mend or unset HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or NO_PROXY, or SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from None


def wait_for(seconds: float) -> httpx.Timeout:
    """Wait so long for an answer, or for more of it; for a connection never longer than 10 seconds."""
    return httpx.Timeout(seconds, connect=10.0, pool=None)


@cache
def _trusted(_file: str | None, _folder: str | None, by_environment: bool) -> SSLContext:
    """Read the certificates that are trusted, once for all clients: it is the longest step of opening one."""
    return httpx.create_ssl_context(trust_env=by_environment)


def check_host(url: httpx.URL) -> None:
    """Refuse a host or port that there cannot be, which httpx and Python meet only when they connect.

    Raises:
        ValueError: There can be no such place. It does not repeat the URL.
    """
    if url.port is not None and url.port > _LAST_PORT:
        raise ValueError(f"names port {url.port}, and there is none above {_LAST_PORT}")
    with suppress(ValueError):  # a name that begins like an encoded one, and is none
        if url.host and _HOST.fullmatch(url.raw_host):
            return
    raise ValueError("names a host that there cannot be")


def _check_proxies() -> None:
    """Refuse proxies that httpx takes and can never reach.

    Raises:
        ValueError, httpx.InvalidURL: One is no address.
    """
    for scheme in ("http", "https", "all"):
        if address := getproxies().get(scheme):
            check_host(httpx.URL(address if "://" in address else f"http://{address}"))


async def read_body(response: httpx.Response, most: int, write: Callable[[bytes], object]) -> None:
    """Hand over a body piece by piece as it arrives, unpacked if it is packed with gzip or deflate.

    httpx would unpack all of a piece at once: 64 kB of zeros become 64 MB, and other packings know no bound.

    Raises:
        TooLarge: It has more than `most` bytes, unpacked. What came before was handed over.
        httpx.HTTPError: It broke off, or is not what it says.
    """
    packing = response.headers.get("content-encoding", "identity")
    if packing not in {"identity", "gzip", "deflate"}:
        raise httpx.DecodingError("the answer is packed in a way that was not asked for")
    unpack = None if packing == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 32)
    seen = 0
    async for raw in response.aiter_raw():
        try:
            piece = raw if unpack is None else unpack.decompress(raw, most - seen + 1)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        seen += len(piece)
        if seen > most:
            raise TooLarge
        write(piece)
    if unpack is not None and not unpack.eof:
        raise httpx.DecodingError("the packed answer is cut")
