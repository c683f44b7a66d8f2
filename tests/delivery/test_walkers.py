"""Downloads on threads: what users get. The rules are tested in `test_download`; here it is who walks through them."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial as bind
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

from kling_batch.delivery.answer import Downloaded, DownloadFailed
from kling_batch.delivery.download import download
from kling_batch.delivery.steps import Heavy, Pause, Steps
from kling_batch.delivery.walkers import ThreadWalker
from kling_batch.errors import DiskUnusable

CONTENT = random.Random(1).randbytes(200_000)
HEAD = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 5000\r\n\r\n'


@pytest.fixture
def walk(partial: Path) -> Callable[..., Any]:
    """Download into `partial` on a thread."""

    def run(url: str, **options: Any) -> Any:
        async def go() -> Any:
            with closing(ThreadWalker(2)) as walker:
                return await walker.walk(lambda: download(url, partial, rng=random.Random(7), **options))

        return asyncio.run(go())

    return run


@pytest.mark.parametrize(
    "url",
    ["http://a..b/x", "http://xn--/", f"http://{'x' * 64}.test/x", "http://127.0.0.1:99999/", "sound", "file:///x"],
)
def test_a_url_that_leads_nowhere_is_an_outcome(walk: Callable[..., Any], url: str) -> None:
    """Also where it is Python that refuses to look a name up, and not httpx."""
    found = walk(url)
    assert isinstance(found, DownloadFailed)
    assert not found.passing


class Holding(ThreadingTCPServer):
    """A host that sends its first words, and then nothing more until the test is over."""

    daemon_threads = True

    def __init__(self, words: bytes) -> None:
        super().__init__(("127.0.0.1", 0), BaseRequestHandler)
        self.words = words
        self.asked = threading.Event()
        self.over = threading.Event()

    def finish_request(self, request: Any, client_address: Any) -> None:
        del client_address
        request.recv(65_536)
        request.sendall(self.words)
        self.asked.set()
        self.over.wait(60)


@pytest.fixture
def holding() -> Iterator[Callable[[bytes], Holding]]:
    """Start such a host."""
    hosts: list[Holding] = []

    def start(words: bytes) -> Holding:
        hosts.append(Holding(words))
        threading.Thread(target=hosts[-1].serve_forever, kwargs={"poll_interval": 0.01}).start()
        return hosts[-1]

    yield start
    for each in hosts:
        each.over.set()
        each.shutdown()
        each.server_close()


async def _cancel_when(event: threading.Event, walking: asyncio.Task[Any]) -> float:
    """Cancel once something has happened; gives the seconds until that had its effect."""
    await asyncio.to_thread(event.wait, 30)
    began = time.monotonic()
    walking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await walking
    return time.monotonic() - began


def test_a_whole_file_arrives(host: Any, walk: Any, partial: Path, sha256: Any) -> None:
    """The same rules hold on a thread."""
    host.serve(CONTENT)
    assert walk(host.url) == Downloaded(path=partial, sha256=sha256(CONTENT), bytes=len(CONTENT))
    assert partial.read_bytes() == CONTENT


def test_what_was_cut_is_gone_on_with(host: Any, walk: Any, reply: Any, sha256: Any) -> None:
    """Errors of the synchronous client reach the rules, which keep what had arrived."""
    host.serve(CONTENT)
    host.then(reply(cut_after=70_000))
    assert isinstance(walk(host.url, attempts=1), DownloadFailed)
    assert walk(host.url).sha256 == sha256(CONTENT)
    assert host.requests[1]["range"] == "bytes=70000-"


def test_redirects_are_followed_by_the_rules_alone(host: Any, walk: Any, reply: Any, sha256: Any) -> None:
    """The client follows none by itself: each is checked first."""
    host.serve(CONTENT)
    host.then(reply(status=302, headers={"Location": "/elsewhere"}))
    assert walk(host.url).sha256 == sha256(CONTENT)
    host.then(reply(status=302, headers={"Location": "ftp://127.0.0.1/x"}))
    assert "http or https" in walk(host.url).reason


def test_a_full_disk_is_raised_where_the_file_is_waited_for(host: Any, walk: Any, partial: Path) -> None:
    """What a thread meets is not lost on it."""
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")
    host.serve(CONTENT)
    with pytest.raises(DiskUnusable, match="the disk is full"):
        walk(host.url)


def test_a_cancelled_download_keeps_what_it_has_at_once(holding: Any, partial: Path) -> None:
    """A thread that waits for a host that says nothing more is woken, and notes what had arrived."""
    server = holding(HEAD + CONTENT[:1000])
    written = threading.Event()

    def probe(effect: str) -> None:
        if effect == "partial write":
            written.set()

    async def go() -> float:
        with closing(ThreadWalker(1, grace_s=60)) as walker:
            url = f"http://127.0.0.1:{server.server_address[1]}/x"
            walking = walker.walk(lambda: download(url, partial, rng=random.Random(1), probe=probe))
            return await _cancel_when(written, asyncio.create_task(walking))

    assert asyncio.run(go()) < 20
    assert partial.read_bytes() == CONTENT[:1000]
    assert partial.with_name(partial.name + ".etag").read_text() == '"one"\n1000\n'


def test_a_host_that_never_answers_keeps_nobody(holding: Any, partial: Path) -> None:
    """A thread that cannot be woken is left behind, and then touches no disk."""
    server = holding(b"")
    effects: list[str] = []

    async def go() -> None:
        with closing(ThreadWalker(1, grace_s=0.05)) as walker:
            url = f"http://127.0.0.1:{server.server_address[1]}/x"
            walking = walker.walk(lambda: download(url, partial, rng=random.Random(1), probe=effects.append))
            await _cancel_when(server.asked, asyncio.create_task(walking))

    asyncio.run(go())
    server.over.set()
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join(30)
    assert effects == ["file request"]
    assert not partial.exists()


def test_a_pause_ends_with_its_walk() -> None:
    """Nobody waits for a pause that nobody wants any more."""
    begun = threading.Event()

    def steps() -> Steps[None]:
        begun.set()
        yield Pause(seconds=300)

    async def go() -> float:
        with closing(ThreadWalker(1, grace_s=60)) as walker:
            return await _cancel_when(begun, asyncio.create_task(walker.walk(steps)))

    assert asyncio.run(go()) < 20


def test_walks_share_few_threads(host: Any, tmp_path: Path) -> None:
    """There are as many walks at once as threads, and none is the loop's."""
    host.serve(b"x")
    threads: set[int] = set()
    at_once, most = 0, 0

    def steps(path: Path) -> Steps[None]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threads.add(threading.get_ident())
        yield from download(host.url, path, rng=random.Random(1))
        at_once -= 1

    async def go() -> None:
        with closing(ThreadWalker(3)) as walker:
            await asyncio.gather(*(walker.walk(bind(steps, tmp_path / str(number))) for number in range(20)))

    asyncio.run(go())
    assert len(threads) <= 3
    assert most <= 3
    assert threading.get_ident() not in threads


def test_from_a_near_host_one_download_follows_another(host: Any, tmp_path: Path, sha256: Any) -> None:
    """No second thread is begun while the first one gets on."""
    host.serve(CONTENT)
    threads: set[int] = set()

    def steps(path: Path) -> Steps[Any]:
        threads.add(threading.get_ident())
        return (yield from download(host.url, path, rng=random.Random(1)))

    async def go() -> list[Any]:
        with closing(ThreadWalker(3, gap_s=3600)) as walker:
            return await asyncio.gather(*(walker.walk(bind(steps, tmp_path / str(number))) for number in range(6)))

    assert {each.sha256 for each in asyncio.run(go())} == {sha256(CONTENT)}
    assert len(threads) == 1


def test_others_begin_beside_a_download_that_takes_long() -> None:
    """Each waits here for all three."""
    together = threading.Barrier(3)

    def steps() -> Steps[Any]:
        yield Heavy(act=lambda: together.wait(30))

    async def go() -> None:
        with closing(ThreadWalker(3)) as walker:
            await asyncio.gather(*(walker.walk(steps) for _ in range(3)))

    asyncio.run(go())


def test_a_download_that_hangs_makes_room_for_the_others() -> None:
    """They follow each other beside it, and none waits for it."""
    hangs, over = threading.Event(), threading.Event()

    def hanging() -> Steps[Any]:
        hangs.set()
        yield Heavy(act=lambda: over.wait(60))

    def quick() -> Steps[Any]:
        yield Heavy(act=lambda: None)

    async def go() -> int:
        with closing(ThreadWalker(3, gap_s=0.5)) as walker:
            first = asyncio.create_task(walker.walk(hanging))
            await asyncio.to_thread(hangs.wait, 30)
            done = 0
            async with asyncio.timeout(20):
                for _ in range(200):
                    await walker.walk(quick)
                    done += 1
            over.set()
            await first
            return done

    assert asyncio.run(go()) == 200


def test_the_file_host_is_told_who_asks(host: Any, walk: Any) -> None:
    """And that bytes are wanted as they are."""
    host.serve(CONTENT)
    walk(host.url)
    assert host.requests[0]["user-agent"].startswith("kling-batch/")
    assert host.requests[0]["accept-encoding"] == "identity"


def test_downloads_go_by_way_of_a_proxy(host: Any, walk: Any, sha256: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy, here the host itself, is asked for the whole address."""
    monkeypatch.setenv("http_proxy", host.base)
    host.serve(CONTENT)
    assert walk("http://files.example/sound.wav").sha256 == sha256(CONTENT)
    assert host.paths == ["http://files.example/sound.wav"]


def test_what_is_heavy_is_called_on_the_walks_thread() -> None:
    """It needs no way over the loop."""

    def steps() -> Steps[tuple[int, int]]:
        inside = yield Heavy(act=threading.get_ident)
        return inside, threading.get_ident()

    async def go() -> tuple[int, int]:
        with closing(ThreadWalker(1)) as walker:
            return await walker.walk(steps)

    inside, around = asyncio.run(go())
    assert inside == around != threading.get_ident()
