"""What to make of a file host's answer: a plain function from status and headers to a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

_LONGEST_ASKED_S = 60.0
_STRONG_ETAG = re.compile(r'"[!#-~]*"')
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_NUMBER = re.compile(r"\d{1,18}")
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """The whole answer stands in `path`, not yet synced to the disk and not yet verified."""

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlRefused:
    """The host refuses this URL (403, 404, 410 and their like): the task is to be asked for a fresh one."""

    status: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadFailed:
    """The file cannot be had. `passing` tells that it may be had later, without anything being mended."""

    reason: str
    passing: bool


DownloadOutcome = Downloaded | UrlRefused | DownloadFailed


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """Read the body: it begins at byte `start` of a file of `total` bytes (None: the host does not say)."""

    start: int
    total: int | None
    etag: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """Try again, after at least `wait_s`. `anew` tells that what is there of the file is of no use."""

    reason: str
    wait_s: float = 0.0
    anew: bool = False


def judge(
    status: int, headers: Mapping[str, str], *, have: int, etag: str | None, size_cap: int
) -> Body | Again | UrlRefused | DownloadFailed:
    """Decide what to do with an answer.

    Args:
        status: Its HTTP status; redirects have been followed.
        headers: Its headers, with names looked up in lower case.
        have: How many bytes of the file are there; more than 0 if the rest was asked for.
        etag: The strong ETag of the file that these bytes are of.
        size_cap: Bytes; a larger file is no sound of this service.
    """
    match status:
        case HTTPStatus.OK:
            return _sized(_whole(headers), headers, size_cap)
        case HTTPStatus.PARTIAL_CONTENT:
            rest = _rest(headers, have=have, etag=etag)
            return rest if isinstance(rest, Again) else _sized(rest, headers, size_cap)
        case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return Again(reason="the file host has no such rest of the file (416)", anew=True)
        case _ if status in _PASSING or status in _SERVER_ERRORS:
            return Again(reason=f"the file host answers {_words(status)}", wait_s=_asked_wait(headers))
        case _ if status in _CLIENT_ERRORS:
            return UrlRefused(status=status, reason=f"the file host answers {_words(status)}")
        case _:
            return DownloadFailed(reason=f"the file host answers {_words(status)} instead of a file", passing=False)


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """Read an ETag by which the rest of a file may be asked for: a weak one promises no equal bytes."""
    etag = headers.get("etag", "")
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def _whole(headers: Mapping[str, str]) -> Body:
    length = headers.get("content-length", "")
    return Body(start=0, total=int(length) if _NUMBER.fullmatch(length) else None, etag=strong_etag(headers))


def _rest(headers: Mapping[str, str], *, have: int, etag: str | None) -> Body | Again:
    """Read where a partial answer belongs; it is of use only right behind what is there, of the same file."""
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if found is None or int(found[1]) != have or int(found[2]) + 1 != int(found[3]):
        return Again(reason="the file host sent another part of the file than was asked for", anew=True)
    if headers.get("etag", etag) != etag:
        return Again(reason="the file changed on the file host", anew=True)
    return Body(start=have, total=int(found[3]), etag=etag)


def _sized(body: Body, headers: Mapping[str, str], size_cap: int) -> Body | DownloadFailed:
    """Refuse what is too large, and what is not the file's own bytes."""
    if body.total is not None and body.total > size_cap:
        return DownloadFailed(reason=f"the file has {body.total} bytes, and {size_cap} are allowed", passing=False)
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        return DownloadFailed(
            reason=f"the file host packed the file as {encoding!r}, which was not asked for", passing=False
        )
    return body


def _asked_wait(headers: Mapping[str, str]) -> float:
    """Read how many seconds the host asks to wait, within reason."""
    seconds = headers.get("retry-after", "")
    return min(float(seconds), _LONGEST_ASKED_S) if _NUMBER.fullmatch(seconds) else 0.0


def _words(status: int) -> str:
    known = {code.value: code.phrase for code in HTTPStatus}
    return f"{status} {known[status]}" if status in known else str(status)
