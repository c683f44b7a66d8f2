"""A result URL becomes a partial file: resumed where it was cut, hashed when it is whole, never with a token."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from pathlib import Path

import httpx

from kling_batch import __version__
from kling_batch.clock import Clock
from kling_batch.delivery.answer import (
    Again,
    Body,
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    judge,
)
from kling_batch.delivery.part import Part
from kling_batch.effects import Probe, no_probe
from kling_batch.http import CONNECTIONS, TooLarge, check_host, open_client, read_body

SIZE_CAP = 256 << 20
"""Bytes. Ten seconds of the richest WAV that can be thought of are a quarter of it."""
ATTEMPT_S = 300.0
"""Seconds that an attempt may take, from its connection to the last byte; the next one goes on where it ended."""

HEAD_S = 10.0
"""Seconds that a host may be silent when it is asked about a file."""
HEADS_S = 60.0
"""Seconds that all hosts together may take."""

_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"kling-batch/{__version__}"}
_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_REFUSED = 400
"""From this status on a host does not give what it was asked for."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


def file_client(*, by_proxy: bool = True, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Open the HTTP client for the file host, without keys; see `http.open_client`."""
    return open_client(headers=_HEADERS, timeout_s=30.0, by_proxy=by_proxy, transport=transport)


def pause_s(failures: int, rng: random.Random) -> float:
    """Say how long to wait after the n-th failure in a row: half a second, doubled each time, with jitter."""
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (failures - 1)) * rng.uniform(0.5, 1.0))


class Downloader:
    """Fetches files from any host.

    Args:
        client: A client without any credentials, as `file_client` opens it. Whoever opened it closes it.
        clock: Tells the time of pauses.
        rng: Spreads the attempts.
        probe: Is told of every effect.

    Raises:
        ValueError: The client would send credentials to the file host.
    """

    def __init__(self, client: httpx.AsyncClient, *, clock: Clock, rng: random.Random, probe: Probe = no_probe) -> None:
        if client.auth is not None or "authorization" in client.headers:
            raise ValueError("the client for the file host must not carry credentials")
        self._client = client
        self._clock = clock
        self._rng = rng
        self._probe = probe

    async def fetch(self, url: str, partial: Path, *, size_cap: int = SIZE_CAP, attempts: int = 6) -> DownloadOutcome:
        """Fetch a URL into a partial file, going on where an earlier download of the same file was cut.

        Every URL, also of a redirect, is `http` or `https`, names no user, and never steps down from `https`. The file
        is not synced here: whoever gives it its final name does that.

        Args:
            url: Where the file is. It is signed, so no message repeats it.
            partial: Where the bytes go, with a note in `<partial>.etag`. One path belongs to one sound.
            size_cap: Bytes; a larger file is refused.
            attempts: How often to try while the host does not answer, or cuts the answer.

        Raises:
            DiskUnusable: The partial file cannot be written.
        """
        part = Part(partial, self._probe)
        part.load()
        again = Again(reason="")
        for failures in range(attempts):
            if failures:
                await self._clock.sleep(max(again.wait_s, pause_s(failures, self._rng)))
            outcome = await self._attempt(url, part, size_cap)
            if not isinstance(outcome, Again):
                return outcome
            again = outcome
            if again.anew:
                part.discard()
        return DownloadFailed(reason=f"{again.reason}, also at attempt {attempts}", passing=True)

    async def _attempt(self, url: str, part: Part, size_cap: int) -> DownloadOutcome | Again:
        """Ask once, and read the answer to its end. What httpx, and Python below it, raises becomes an outcome."""
        try:
            async with asyncio.timeout(ATTEMPT_S):
                return await self._ask(httpx.URL(url), part, size_cap)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.CookieConflict, ValueError) as error:
            reason = f"the file's URL or a redirect of it cannot be used ({type(error).__name__})"
            return DownloadFailed(reason=reason, passing=False)
        except TimeoutError:
            return Again(reason=f"the file host took more than {ATTEMPT_S:.0f} s")
        except httpx.HTTPError as error:
            return Again(reason=f"the connection to the file host broke ({str(error) or type(error).__name__})")

    async def _ask(self, target: httpx.URL, part: Part, size_cap: int) -> DownloadOutcome | Again:
        """Send the request, and follow redirects by hand: each is checked before anything is sent to it."""
        headers = {}
        if part.size and part.etag is not None:
            headers = {"Range": f"bytes={part.size}-", "If-Range": part.etag}
        before = None
        for _ in range(_MOST_REDIRECTS + 1):
            if (refusal := _refusal(target, before)) is not None:
                return DownloadFailed(reason=refusal, passing=False)
            self._probe("file request")
            async with self._client.stream("GET", target, headers=headers) as response:
                if response.status_code not in _REDIRECTS:
                    return await _receive(response, part, size_cap)
            before, target = target, target.join(response.headers.get("location", ""))
        return DownloadFailed(reason=f"the file host redirects more than {_MOST_REDIRECTS} times", passing=False)


async def _receive(response: httpx.Response, part: Part, size_cap: int) -> DownloadOutcome | Again:
    """Write the body behind what is there. What arrived before a cut is kept for the next attempt."""
    body = judge(response.status_code, response.headers, have=part.size, etag=part.etag, size_cap=size_cap)
    if not isinstance(body, Body):
        return body
    most = size_cap if body.total is None else body.total
    try:
        with part.receiving(body.start, body.etag) as write:
            await read_body(response, most - body.start, write)
    except TooLarge:
        part.discard()
        return DownloadFailed(reason=f"the file host sends more than {most} bytes, the most expected", passing=False)
    except (httpx.HTTPError, asyncio.CancelledError):
        part.keep()
        raise
    if body.total is not None and part.size < body.total:
        part.keep()
        return Again(reason=f"the connection to the file host ended after {part.size} of {body.total} bytes")
    return Downloaded(path=part.path, sha256=part.complete(), bytes=part.size)


async def unreadable(client: httpx.AsyncClient, urls: Collection[str]) -> Mapping[str, str]:
    """Ask hosts of files whether they can be read, by a HEAD each; give those that cannot, with the reason in words.

    A redirect is an answer. What has not answered when `HEADS_S` have passed cannot be read, either.
    """
    room = asyncio.Semaphore(CONNECTIONS)

    async def ask(url: str) -> str | None:
        async with room:
            return await _head(client, url)

    asked = {url: asyncio.create_task(ask(url), name="head") for url in urls}
    await asyncio.wait(asked.values(), timeout=HEADS_S)
    late = {url for url, task in asked.items() if not task.done()}
    for url in late:
        asked[url].cancel()
    await asyncio.wait(asked.values())
    reasons = {
        url: f"not answered while all were asked, for {HEADS_S:.0f} s" if url in late else asked[url].result()
        for url in urls
    }
    return {url: reason for url, reason in reasons.items() if reason is not None}


async def _head(client: httpx.AsyncClient, url: str) -> str | None:
    try:
        target = httpx.URL(url)
        if (refusal := _refusal(target, None)) is not None:
            return refusal
        status = (await client.head(target, timeout=HEAD_S)).status_code
    except (httpx.InvalidURL, ValueError) as error:
        return f"the URL cannot be used ({type(error).__name__})"
    except httpx.TimeoutException:
        return f"no answer for {HEAD_S:.0f} s"
    except httpx.HTTPError as error:
        return f"the connection failed ({str(error) or type(error).__name__})"
    return f"HTTP {status}" if status >= _REFUSED else None


def _refusal(url: httpx.URL, before: httpx.URL | None) -> str | None:
    """Say why a URL must not be asked, or None; `before` is the one that redirects to it."""
    if url.scheme not in {"http", "https"}:
        return f"the file's URL is none of http or https: it begins with {url.scheme!r}"
    if url.userinfo:
        return "the file's URL carries a user name or password, which must not be sent"
    if before is not None and before.scheme == "https" and url.scheme == "http":
        return "the file host redirects from https to http, where anybody could change the file"
    try:
        check_host(url)
    except ValueError as error:
        return f"the file's URL {error}"
    return None
