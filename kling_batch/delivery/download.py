"""A result URL becomes a partial file: resumed where it was cut, hashed while it arrives, never with a token.

The rules alone, as steps: who walks through them has the client. What `httpx` raises becomes an outcome here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

import httpx

from kling_batch import __version__
from kling_batch.delivery.answer import (
    Again,
    Body,
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    UrlRefused,
    judge,
)
from kling_batch.delivery.part import Part
from kling_batch.delivery.steps import Answer, Ask, More, Pause, Steps
from kling_batch.effects import Probe, no_probe

SIZE_CAP = 256 << 20
"""Bytes. Ten seconds of the richest WAV that can be thought of are a quarter of it."""

_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"kling-batch/{__version__}"}
_LAST_PORT = 65535
_LONGEST_LABEL = 63
_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


class _Cut(Exception):
    """The connection did not last."""


class _Hopeless(Exception):
    """Trying again would end the same way."""


def pause_s(failures: int, rng: random.Random) -> float:
    """Say how long to wait after the n-th failure in a row: half a second, doubled each time, with jitter."""
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (failures - 1)) * rng.uniform(0.5, 1.0))


def download(
    url: str,
    partial: Path,
    *,
    rng: random.Random,
    probe: Probe = no_probe,
    size_cap: int = SIZE_CAP,
    attempts: int = 6,
) -> Steps[DownloadOutcome]:
    """Fetch a URL into a partial file, going on where an earlier download of the same file was cut.

    Every URL, also of a redirect, is `http` or `https`, names no user, and never steps down from `https`. The file
    is not synced here: whoever gives it its final name does that. Writes to the disk: walk on a thread.

    Args:
        url: Where the file is. It is signed, so no message repeats it.
        partial: Where the bytes go, with a note in `<partial>.etag`. One path belongs to one sound.
        rng: Spreads the attempts.
        probe: Is told of every effect.
        size_cap: Bytes; a larger file is refused.
        attempts: How often to try while the host does not answer, or cuts the answer.

    Raises:
        DiskUnusable: The partial file cannot be written.
    """
    part = Part(partial, probe)
    part.load()
    again = Again(reason="")
    for failures in range(attempts):
        if failures:
            yield Pause(seconds=max(again.wait_s, pause_s(failures, rng)))
        outcome = yield from _attempt(url, part, probe=probe, size_cap=size_cap)
        if not isinstance(outcome, Again):
            return outcome
        again = outcome
        if again.anew:
            part.discard()
    return DownloadFailed(reason=f"{again.reason}, also at attempt {attempts}", passing=True)


def _attempt(url: str, part: Part, *, probe: Probe, size_cap: int) -> Steps[DownloadOutcome | Again]:
    """Ask once, and read the answer to its end."""
    try:
        answer = yield from _ask(url, part, probe)
        verdict = judge(answer.status, answer.headers, have=part.size, etag=part.etag, size_cap=size_cap)
        match verdict:
            case Body():
                return (yield from _receive(part, verdict, size_cap))
            case Again() | UrlRefused() | DownloadFailed():
                return verdict
            case _:
                assert_never(verdict)
    except _Cut as cut:
        return Again(reason=str(cut))
    except _Hopeless as hopeless:
        return DownloadFailed(reason=str(hopeless), passing=False)


def _ask(url: str, part: Part, probe: Probe) -> Steps[Answer]:
    """Send the request, and follow redirects by hand: each is checked before anything is sent to it."""
    headers = _HEADERS
    if part.size and part.etag is not None:
        headers = headers | {"Range": f"bytes={part.size}-", "If-Range": part.etag}
    before = None
    with _http_border():
        target = httpx.URL(url)
        for _ in range(_MOST_REDIRECTS + 1):
            _check(target, before)
            probe("file request")
            answer: Answer = yield Ask(url=target, headers=headers)
            if answer.status not in _REDIRECTS:
                return answer
            before, target = target, target.join(answer.headers.get("location", ""))
    raise _Hopeless(f"the file host redirects more than {_MOST_REDIRECTS} times")


def _receive(part: Part, body: Body, size_cap: int) -> Steps[Downloaded | DownloadFailed]:
    """Write the body behind what is there. What arrived before a cut is kept for the next attempt."""
    most = size_cap if body.total is None else body.total
    try:
        yield from _write(part, body, most)
    except (_Cut, asyncio.CancelledError):
        part.keep()
        raise
    if part.size > most:
        part.discard()
        return DownloadFailed(reason=f"the file host sends more than {most} bytes, the most expected", passing=False)
    part.complete()
    return Downloaded(path=part.path, sha256=part.sha256, bytes=part.size)


def _write(part: Part, body: Body, most: int) -> Steps[None]:
    """Write what arrives, up to the first chunk that is too much."""
    with part.receiving(body.start, body.etag) as write, _http_border():
        while (chunk := (yield More())) is not None:
            write(chunk)
            if part.size > most:
                return
    if body.total is not None and part.size < body.total:
        raise _Cut(f"the connection to the file host ended after {part.size} of {body.total} bytes")


def _check(url: httpx.URL, before: httpx.URL | None) -> None:
    """Refuse a URL that must not be asked; `before` is the one that redirects to it."""
    if url.scheme not in {"http", "https"} or not url.host:
        raise _Hopeless(f"the file's URL is none of http or https: it begins with {url.scheme!r}")
    if url.port is not None and url.port > _LAST_PORT:
        raise _Hopeless(f"the file's URL names port {url.port}, and there is none above {_LAST_PORT}")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in url.raw_host.removesuffix(b".").split(b".")):
        raise _Hopeless("the file's URL names a host that there cannot be")
    if url.userinfo:
        raise _Hopeless("the file's URL carries a user name or password, which must not be sent")
    if before is not None and before.scheme == "https" and url.scheme == "http":
        raise _Hopeless("the file host redirects from https to http, where anybody could change the file")


@contextmanager
def _http_border() -> Iterator[None]:
    """Sort what `httpx`, and Python below it, raise: what may pass, and what would come again."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.CookieConflict, ValueError) as error:
        raise _Hopeless(f"the file's URL or a redirect of it cannot be used ({type(error).__name__})") from error
    except httpx.HTTPError as error:
        words = str(error) or type(error).__name__
        raise _Cut(f"the connection to the file host broke ({words})") from error
