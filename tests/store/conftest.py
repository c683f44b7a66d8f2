"""Places for stores: a folder, and a bucket of a real S3 endpoint in another process; and storage that misbehaves."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import pytest
from obstore.store import from_url

from kling_batch.effects import Probe
from kling_batch.records.object_store import ObjectStore
from kling_batch.records.store import FolderStore, Store


@pytest.fixture(autouse=True)
def _nobodys_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the cloud accounts of whoever runs the tests."""
    for name in list(os.environ):
        if name.upper().startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)


class Place(Protocol):
    """Where a store is, looked at from behind. Names are the store's own, such as `live/sha256/ab/abc...`."""

    location: str
    effects: tuple[str, ...]
    """What a store there does, in order, when it puts one file."""

    def write(self, files: Mapping[str, bytes]) -> None:
        """Put bytes there, past the store."""
        ...

    def read(self, name: str) -> bytes:
        """Give what is there."""
        ...

    def probed(self, probe: Probe) -> Store:
        """Open the store of real runs with a probe."""
        ...


class FolderPlace:
    """A folder."""

    effects: tuple[str, ...] = ("store write", "store rename")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.location = str(folder)

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Place.write`."""
        for name, data in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data)

    def read(self, name: str) -> bytes:
        """See `Place.read`."""
        return (self._folder / name).read_bytes()

    def probed(self, probe: Probe) -> Store:
        """See `Place.probed`."""
        return FolderStore(self._folder, namespace="live", probe=probe)


class BucketPlace:
    """A folder of a bucket."""

    effects: tuple[str, ...] = ("store write",)

    def __init__(self, endpoint: str, bucket: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(endpoint).netloc)
        connection.request("PUT", f"/{bucket}")
        with connection.getresponse() as answer:
            assert answer.status == 200
        connection.close()
        self._bucket = from_url(f"s3://{bucket}")
        self.location = f"s3://{bucket}/game one/sounds"

    def write(self, files: Mapping[str, bytes]) -> None:
        """See `Place.write`."""
        for name, data in files.items():
            self._bucket.put(f"game one/sounds/{name}", data)

    def read(self, name: str) -> bytes:
        """See `Place.read`."""
        return bytes(self._bucket.get(f"game one/sounds/{name}").bytes())

    def probed(self, probe: Probe) -> Store:
        """See `Place.probed`."""
        return ObjectStore(self.location, namespace="live", probe=probe)


@pytest.fixture
def cloud(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the environment at the S3 endpoint, as a person does."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ada")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lovelace")
    return s3


@pytest.fixture
def bucket(cloud: str, tmp_path: Path) -> BucketPlace:
    """Make a bucket of the test's own."""
    return BucketPlace(cloud, f"b{hashlib.sha256(bytes(tmp_path)).hexdigest()[:20]}")


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give an empty place for a store, of each kind in turn."""
    if request.param == "folder":
        return FolderPlace(tmp_path / "cache")
    found: Place = request.getfixturevalue("bucket")
    return found


Make = Callable[[str, int], "tuple[Path, str]"]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a file out of a word, so many times; give its path and hash."""

    def write(word: str, times: int) -> tuple[Path, str]:
        path = tmp_path / f"{word}-{times}.wav"
        path.write_bytes(word.encode() * times)
        return path, hashlib.sha256(word.encode() * times).hexdigest()

    return write


@pytest.fixture
def door(make: Make) -> Path:
    return make("creak", 1000)[0]


@pytest.fixture
def door_hash(make: Make) -> str:
    return make("creak", 1000)[1]


class Crash(BaseException):
    """The machine stops: nothing in the program catches this."""


@pytest.fixture
def crash() -> type[Crash]:
    return Crash


@pytest.fixture
def crash_at() -> Callable[[str], Probe]:
    """Make a probe that stops the machine right before an effect."""

    def make_probe(effect: str) -> Probe:
        def probe(happening: str) -> None:
            if happening == effect:
                raise Crash(effect)

        return probe

    return make_probe


class Storage:
    """Storage that answers as the test says: by method and last part of the path, by method, or to anything.

    `queue` comes before all that. With `cut_short`, every answer breaks off before its end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.cut_short = False
        self.queue: list[tuple[int, bytes]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        """Give status and body, and remember the request."""
        self.asked.append(f"{method} {path}")
        if self.queue:
            return self.queue.pop(0)
        names = (f"{method} {path.rpartition('/')[2]}", method, "*")
        return next(self.answers[name] for name in names if name in self.answers)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Start such a storage and point the environment at it, for S3."""

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, body = found.answer(self.command, unquote(self.path.partition("?")[0]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + (9 if found.cut_short else 0)))
            self.send_header("ETag", '"one"')
            self.send_header("Last-Modified", "Mon, 23 Nov 2026 20:00:00 GMT")
            with suppress(ConnectionError):  # a client may give up a request while others fail
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do  # noqa: N815 - http.server's names

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Storage(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name, value in {"ENDPOINT_URL": found.url, "ALLOW_HTTP": "true", "ACCESS_KEY_ID": "a"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield found
    server.shutdown()
    server.server_close()
    thread.join()
