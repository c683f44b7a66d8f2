"""A file host on the loopback with knobs, a clock that needs no time, and real sounds."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kling_batch.delivery.answer import DownloadOutcome
from kling_batch.delivery.download import Downloader, file_client
from kling_batch.effects import Probe, no_probe


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How the host answers one request. `cut_after` ends the connection after so many bytes of the body."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    ignores_range: bool = False
    says_length: bool = True


class Host:
    """A file host. `serve` sets the file, `then` scripts the next answers; `requests` holds the headers received."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.url = f"{base}/sound.wav?cacheKey=SIGNED"
        self.content = b""
        self.etag = '"none"'
        self.requests: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._script: list[Reply] = []

    def serve(self, content: bytes, etag: str = '"one"') -> None:
        """Set the file."""
        self.content, self.etag = content, etag

    def then(self, *replies: Reply) -> None:
        """Answer the next requests so."""
        self._script.extend(replies)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        asked = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append(asked)
        self.paths.append(handler.path)
        reply = self._script.pop(0) if self._script else Reply()
        status, body, headers = self._file(asked, reply)
        headers |= {"Content-Length": str(len(body))} if reply.says_length else {}
        handler.send_response(status)
        for name, value in (headers | reply.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: reply.cut_after])
        if reply.cut_after is not None or not reply.says_length:
            handler.close_connection = True

    def _file(self, asked: dict[str, str], reply: Reply) -> tuple[int, bytes, dict[str, str]]:
        if reply.status is not None:
            return reply.status, reply.body or b"", {}
        begin = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
        headers = {"ETag": self.etag}
        if begin is None or reply.ignores_range or asked.get("if-range", self.etag) != self.etag:
            return 200, self.content, headers
        start, total = int(begin[1]), len(self.content)
        return 206, self.content[start:], headers | {"Content-Range": f"bytes {start}-{total - 1}/{total}"}


@pytest.fixture
def host() -> Iterator[Host]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.answer(self)

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Host(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


class VirtualClock:
    """A clock that stands still but for its sleeps, which take no time. `slept` holds them."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "out" / ".kling-batch" / "partial" / "kb-abc.wav"


Fetch = Callable[..., DownloadOutcome]


@pytest.fixture
def fetch(clock: VirtualClock, partial: Path) -> Fetch:
    """Download a URL into `partial`: on the virtual clock, with a client of its own."""

    def run(url: str, *, transport: Any = None, probe: Probe = no_probe, **options: Any) -> DownloadOutcome:
        async def go() -> DownloadOutcome:
            async with file_client(transport=transport) as client:
                downloader = Downloader(client, clock=clock, rng=random.Random(7), probe=probe)
                return await downloader.fetch(url, partial, **options)

        return asyncio.run(go())

    return run


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Make a real sound file: noise of so many seconds."""
    folder = tmp_path_factory.mktemp("sounds")

    def make(audio_format: str, seconds: float = 3.0, *, rate: int = 44100, channels: int = 2, **options: Any) -> bytes:
        noise = np.random.default_rng(5).standard_normal((int(rate * seconds), channels)) * 0.1
        path = folder / f"sound.{audio_format}"
        soundfile.write(path, noise, rate, **options)
        return path.read_bytes()

    return make


@pytest.fixture
def spoilt_mp3(sound: Callable[..., bytes]) -> bytes:
    """Make an MP3 whose frames are all there, with damage inside of them."""
    data = bytearray(sound("mp3"))
    for position in range(5000, len(data) - 5000, 97):
        if position - data.rfind(b"\xff\xfb", 0, position + 4) > 5:
            data[position] ^= 0x15
    return bytes(data)


@pytest.fixture(scope="session")
def sha256() -> Callable[[bytes], str]:
    return lambda data: hashlib.sha256(data).hexdigest()
