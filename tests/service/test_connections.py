"""The two HTTP clients: few connections, no cookies, no redirects, no proxy for this machine, and bounded answers."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from kling_batch.errors import UsageError
from kling_batch.http import CONNECTIONS, TooLarge, check_host, open_client, read_body


class _Host(ThreadingHTTPServer):
    """A host that knows how many connections it was opened, and which cookies came."""

    opened = 0
    cookies: tuple[str, ...] = ()
    daemon_threads = True


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Host

    def setup(self) -> None:
        super().setup()
        self.server.opened += 1

    def do_GET(self) -> None:
        self.server.cookies += tuple(self.headers.get_all("cookie", []))
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Content-Length", "5")
        self.send_header("Location", "/elsewhere")
        self.send_header("Set-Cookie", "who=somebody; Path=/")
        self.end_headers()
        self.wfile.write(b"sound")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _serving() -> Iterator[_Host]:
    host = _Host(("127.0.0.1", 0), _Answer)
    thread = Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield host
    finally:
        host.shutdown()
        host.server_close()
        thread.join()


def _with_client(work: Callable[[httpx.AsyncClient], Awaitable[object]]) -> _Host:
    """Use a client for a host."""

    async def call(host: _Host) -> None:
        async with open_client(f"http://127.0.0.1:{host.server_port}", headers={}, timeout_s=30) as client:
            await work(client)

    with _serving() as host:
        asyncio.run(call(host))
    return host


def test_no_more_connections_are_opened_than_there_are() -> None:
    """Fifty requests at once share them."""

    async def work(client: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(*(client.get("/") for _ in range(50)))
        assert [answer.content for answer in answers] == [b"sound"] * 50

    assert _with_client(work).opened <= CONNECTIONS


def test_one_after_another_goes_over_one_connection_without_a_cookie_or_a_redirect() -> None:
    """What a host wants to be told again is not kept, and where it points to is for the caller to judge."""

    async def work(client: httpx.AsyncClient) -> None:
        for path in ("/a", "/b", "/moved", "/d"):
            assert (await client.get(path)).status_code == (302 if path == "/moved" else 200)
        assert not client.cookies

    host = _with_client(work)
    assert (host.opened, host.cookies) == (1, ())


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTP_PROXY"])
def test_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One that is set for hosts elsewhere has no way back here."""
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    _with_client(lambda client: client.get("/"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "what://user:hush@h.example"),
        ("HTTPS_PROXY", "http://user:hush@h:x"),
        ("HTTP_PROXY", "user:hush@["),
        ("NO_PROXY", "http://hush:x"),
        ("SSL_CERT_FILE", "/no/hush.pem"),
    ],
)
def test_what_cannot_be_used_is_explained_without_its_text(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """It comes from the environment, and may hold a password; a client that asks no proxy is made all the same."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        open_client(headers={}, timeout_s=1)
    assert name in str(caught.value.hint)
    assert "hush" not in f"{caught.value.message}{caught.value.hint}"
    if name != "SSL_CERT_FILE":
        open_client(headers={}, timeout_s=1, by_proxy=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/",
        "http://xn--/",
        f"http://{'x' * 64}.test/",
        "http://h.test:65536/",
        "/path",
        "http://.../",
        "http://[",
        "http://a b/",
    ],
)
def test_a_host_that_there_cannot_be_is_refused(url: str) -> None:
    """Httpx takes such a URL, and fails with many an exception when it connects."""
    with pytest.raises(ValueError, match="names"):
        check_host(httpx.URL(url))


@pytest.mark.parametrize(
    "url", ["http://a.b/", "http://a.b./", "https://xn--bcher-kva.test", "http://[::1]:8080/", "http://bücher.test"]
)
def test_any_other_host_is_taken(url: str) -> None:
    """Names, addresses, and names with letters beyond ASCII."""
    check_host(httpx.URL(url))


def _read(content: bytes, packing: str, most: int) -> bytes:
    """Read a body of these bytes, in pieces."""

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for start in range(0, len(content), 1000):
                yield content[start : start + 1000]

    async def go() -> bytes:
        got = bytearray()
        headers = {"content-encoding": packing} if packing else {}
        await read_body(httpx.Response(200, headers=headers, stream=Pieces()), most, got.extend)
        assert len(got) <= most
        return bytes(got)

    return asyncio.run(go())


WORDS = b"a sound " * 1000


@pytest.mark.parametrize(
    ("packing", "content"), [("", WORDS), ("gzip", gzip.compress(WORDS, mtime=0)), ("deflate", zlib.compress(WORDS))]
)
def test_a_body_is_read_up_to_its_bound_and_not_beyond(packing: str, content: bytes) -> None:
    """The bound counts what comes out, not what comes in."""
    assert _read(content, packing, len(WORDS)) == WORDS
    with pytest.raises(TooLarge):
        _read(content, packing, len(WORDS) - 1)


def test_a_bomb_is_never_unpacked_beyond_the_bound() -> None:
    """A hundred megabytes of zeros in a hundred kilobytes."""
    with pytest.raises(TooLarge):
        _read(gzip.compress(bytes(100 << 20)), "gzip", 10_000)


@pytest.mark.parametrize(
    ("packing", "content"),
    [
        ("gzip", gzip.compress(WORDS, mtime=0)[:-9]),
        ("gzip", WORDS),
        ("br", WORDS),
        ("gzip, gzip", gzip.compress(WORDS, mtime=0)),
    ],
)
def test_a_body_that_is_not_what_it_says_is_an_error_of_httpx(packing: str, content: bytes) -> None:
    """Cut, not packed at all, or packed in a way for which there is no bound."""
    with pytest.raises(httpx.DecodingError):
        _read(content, packing, len(WORDS))
