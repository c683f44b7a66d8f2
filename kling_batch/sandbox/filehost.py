"""The host of the result files: signed URLs that expire, ranges, and everything that can go wrong with a file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec

from kling_batch.sandbox.careless import careless
from kling_batch.sandbox.clips import ClipSpec, Synth, sound_s
from kling_batch.sandbox.faults import Strike
from kling_batch.sandbox.settings import WorldSettings
from kling_batch.sandbox.tasks import SandboxTask, TaskShelf
from kling_batch.sandbox.video import length_s
from kling_batch.sandbox.wire import Request, Response

_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "mp4": "video/mp4"}
_UPLOADS = "/uploads/"
_HTML = b"<!DOCTYPE html><html><head><title>Hotlink denied</title></head><body>Please sign in.</body></html>\n"
_MOST_CLIPS = 24
"""How many clips are remembered: of ten seconds each, 42 MB."""
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class FileHost:
    """Finds files and serves them. All that it remembers is which URLs a fault has killed, or has led in a circle."""

    def __init__(self, settings: WorldSettings, shelf: TaskShelf, synth: Synth) -> None:
        self._settings = settings
        self._shelf = shelf
        self._made = lru_cache(maxsize=_MOST_CLIPS)(synth)
        self._dead: set[str] = set()
        self._circles: set[str] = set()
        self._uploads: dict[str, bytes] = {}
        self._secret = f"{settings.seed}:files".encode()

    def url(self, task: SandboxTask, audio_format: str) -> str:
        """Write a signed URL: the same one until the task is issued new ones. A fault may have it be an odd one."""
        if task.odd_url is not None:
            return task.odd_url
        until = int((task.issued_at + self._settings.url_lifetime_s) * 1000)
        path = f"/audio/{task.audio_id}.{audio_format}"
        key = self._key(path, until, task.issue)
        return f"{self._settings.file_base_url}{path}?until={until}&issue={task.issue}&cacheKey={key}"

    def is_upload(self, request: Request) -> bool:
        """Say whether a call is about a file that a client brought itself."""
        return request.path.startswith(_UPLOADS)

    def uploaded(self, request: Request) -> Response:
        """Take or give a client's file: a stand-in for the object storage that a service fetches videos from."""
        if request.method == "PUT":
            self._uploads[request.path] = request.body
        if request.path not in self._uploads:
            return _refused(404, "no such file")
        return _ranged(request, self._uploads[request.path], '"upload"', "application/octet-stream")

    def brought_s(self, url: str) -> float | None:
        """Say how long a video or sound is that a client brought: 0 where it is none, None where it is elsewhere."""
        base = self._settings.file_base_url + _UPLOADS
        if not url.startswith(base):
            return None
        data = self._uploads.get(_UPLOADS + url.removeprefix(base), b"")
        return length_s(data) or sound_s(data) or 0.0

    def task_of(self, request: Request) -> SandboxTask | None:
        """Find whose file is asked for."""
        return self._shelf.by_audio_id(request.path.removeprefix("/audio/").rpartition(".")[0])

    def find(self, request: Request, strike: Strike, settings: WorldSettings, now: float) -> ClipSpec | Response:
        """Say what the file that is asked for is made of, or refuse the call."""
        task = self.task_of(request)
        if request.method not in {"GET", "HEAD"}:
            return _refused(405, "method not allowed")
        if task is None or _format_of(request) not in task.formats or task.state(now) != "succeeded":
            return _refused(404, "no such file")
        key = request.query.get("cacheKey", "")
        if "expire" in strike:
            self._dead.add(key)
            task.issued_at = float("-inf")
        problem = self._signature_problem(request, key, now)
        if problem:
            return _refused(403, problem)
        if now < task.files_at:
            return _refused(settings.behaviour.early_file_status, "the file is not here yet")
        if now >= task.ends_at + settings.retention_s:
            return _refused(404, "the file was cleared")
        return self._struck(request, key, strike) or _clip(task, _format_of(request), settings, strike)

    def _struck(self, request: Request, key: str, strike: Strike) -> Response | None:
        """Answer in the file's place where a fault says so, or said so once and for all, or where it cannot be made."""
        if "status" in strike:
            return _refused(strike["status"], "by order of a fault rule")
        if strike.get("redirect") == "loop":
            self._circles.add(key)
        if key in self._circles or "redirect" in strike:
            return _redirect(self._settings.file_base_url, request)
        if _format_of(request) == "mp4" and find_spec("av") is None:
            return _refused(501, "the sandbox makes MP4 with the extra `video`: pip install 'kling-batch[video]'")
        return None

    def bytes_of(self, clip: ClipSpec) -> bytes:
        """Make or remember a file's bytes. May be called from a worker thread."""
        return careless(self._made(clip), clip)

    def _signature_problem(self, request: Request, key: str, now: float) -> str | None:
        until, issue = request.query.get("until", ""), request.query.get("issue", "")
        if not until.isdecimal() or not issue.isdecimal() or key != self._key(request.path, int(until), int(issue)):
            return "the URL is not signed"
        return "the URL has expired" if key in self._dead or now * 1000 >= int(until) else None

    def _key(self, path: str, until: int, issue: int) -> str:
        return hashlib.blake2b(f"{path}:{until}:{issue}".encode(), key=self._secret[:64], digest_size=16).hexdigest()


def served(request: Request, clip: ClipSpec, data: bytes, strike: Strike) -> Response:
    """Answer a call with a file's bytes. The ETag changes with anything that decides them."""
    content_type = _TYPES[_format_of(request)]
    etag = hashlib.blake2b(repr(clip).encode(), digest_size=12).hexdigest()
    if "wrong-type" in strike:
        data, content_type = _HTML, "text/html; charset=utf-8"
    elif "corrupt" in strike and "range" not in request.headers:
        # With a good beginning before it, damage in the middle of a WAV is sound like any other.
        data = _corrupted(data, strike["corrupt"])
    response = _ranged(request, data, f'"{etag}"', content_type)
    cut = strike.get("cut")
    cut_at = None if cut is None else int(cut * len(response.body)) if cut < 1 else min(int(cut), len(response.body))
    return replace(response, cut_at=cut_at, bytes_per_s=strike.get("slow"))


def _format_of(request: Request) -> str:
    return request.path.rpartition(".")[2]


def _clip(task: SandboxTask, audio_format: str, settings: WorldSettings, strike: Strike) -> ClipSpec:
    """Say what the file is made of, swapped for another where the fault is in the sound itself."""
    if "changed" in strike:
        task.revision += 1
    if "wrong-format" in strike:
        audio_format = "mp3" if audio_format == "wav" else "wav"
    clip = task.clip(audio_format, settings)
    return replace(clip, duration_s=clip.duration_s * strike.get("wrong-length", 1))


def _refused(status: int, reason: str) -> Response:
    headers = {"content-type": "text/plain; charset=utf-8"}
    return Response(status=status, headers=headers, body=f"{status} {reason}\n".encode())


def _redirect(base_url: str, request: Request) -> Response:
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    return Response(status=302, headers={"location": f"{base_url}{request.path}?{query}"})


def _corrupted(data: bytes, count: int) -> bytes:
    """Flip every bit of the first `count` bytes, and of as many in the middle: a decoder must notice."""
    damaged = bytearray(data)
    for start in (0, len(data) // 2):
        stop = min(start + count, len(data))
        damaged[start:stop] = bytes(byte ^ 0xFF for byte in data[start:stop])
    return bytes(damaged)


def _ranged(request: Request, data: bytes, etag: str, content_type: str) -> Response:
    headers = {"content-type": content_type, "etag": etag, "accept-ranges": "bytes"}
    first, last, status = 0, len(data) - 1, 200
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted and any(wanted.groups()) and request.headers.get("if-range", etag) == etag:
        start, stop = wanted.groups()
        if start:
            first, last = int(start), min(int(stop), last) if stop else last
        else:
            first = max(0, len(data) - int(stop))
        if first > last:
            return Response(status=416, headers={**headers, "content-range": f"bytes */{len(data)}"})
        status = 206
        headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
    body = data[first : last + 1] if status != 200 else data  # noqa: PLR2004 - the whole file
    headers["content-length"] = str(len(body))
    return Response(status=status, headers=headers, body=b"" if request.method == "HEAD" else body)
