"""What a file host may do to a download, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kling_batch.delivery.answer import Downloaded, DownloadFailed, UrlRefused
from kling_batch.delivery.download import ATTEMPT_S, Downloader, file_client, pause_s
from kling_batch.errors import DiskUnusable
from tests.chaos.virtual import Time, run_virtual
from tests.chaos.virtual import VirtualClock as LoopClock

CONTENT = random.Random(1).randbytes(200_000)


def note(partial: Path) -> Path:
    return partial.with_name(partial.name + ".etag")


def test_a_whole_file_is_hashed_while_it_arrives(host: Any, fetch: Any, partial: Path, sha256: Any) -> None:
    """An undisturbed download is one request, one file, and no note beside it."""
    host.serve(CONTENT)
    assert fetch(host.url) == Downloaded(path=partial, sha256=sha256(CONTENT), bytes=len(CONTENT))
    assert partial.read_bytes() == CONTENT
    assert [path.name for path in partial.parent.iterdir()] == [partial.name]
    assert len(host.requests) == 1


def test_a_cut_download_asks_for_the_rest_alone(host: Any, fetch: Any, partial: Path, reply: Any, sha256: Any) -> None:
    """What arrived is not fetched again: the rest is asked for by Range, on condition of the same ETag."""
    host.serve(CONTENT)
    host.then(reply(cut_after=70_000))
    outcome = fetch(host.url)
    assert outcome == Downloaded(path=partial, sha256=sha256(CONTENT), bytes=len(CONTENT))
    assert host.requests[1]["range"] == "bytes=70000-"
    assert host.requests[1]["if-range"] == '"one"'
    assert not note(partial).exists()


def test_a_later_run_goes_on_where_the_last_one_was_cut(host: Any, fetch: Any, reply: Any, sha256: Any) -> None:
    """The part and its note outlive the process that began them."""
    host.serve(CONTENT)
    host.then(reply(cut_after=70_000))
    first = fetch(host.url, attempts=1)
    assert isinstance(first, DownloadFailed)
    assert first.passing
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert host.requests[1]["range"] == "bytes=70000-"


def test_a_file_that_changed_starts_over(host: Any, fetch: Any, partial: Path, reply: Any, sha256: Any) -> None:
    """Bytes of two versions are never joined."""
    host.serve(CONTENT)
    host.then(reply(cut_after=70_000))
    fetch(host.url, attempts=1)
    host.serve(CONTENT[::-1], etag='"two"')
    assert fetch(host.url).sha256 == sha256(CONTENT[::-1])
    assert partial.read_bytes() == CONTENT[::-1]


def test_a_changed_file_sent_as_a_rest_starts_over(host: Any, fetch: Any, reply: Any, sha256: Any) -> None:
    """A host that ignores If-Range and sends the rest of another version is found out by the ETag."""
    host.serve(CONTENT)
    wrong = {"ETag": '"two"', "Content-Range": "bytes 70000-199999/200000"}
    host.then(reply(cut_after=70_000), reply(status=206, headers=wrong, body=bytes(130_000)))
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert "range" not in host.requests[2]


@pytest.mark.parametrize("where", ["", "bytes 0-199999/200000", "bytes 70000-80000/200000", "bytes 70000-199999/*"])
def test_another_part_than_asked_for_is_not_joined(host: Any, fetch: Any, reply: Any, sha256: Any, where: str) -> None:
    """A partial answer is of use only if it is exactly the rest that was asked for."""
    host.serve(CONTENT)
    host.then(
        reply(cut_after=70_000), reply(status=206, headers={"ETag": '"one"', "Content-Range": where}, body=CONTENT)
    )
    assert fetch(host.url).sha256 == sha256(CONTENT)


def test_a_host_that_ignores_ranges_is_read_from_the_start(host: Any, fetch: Any, reply: Any, sha256: Any) -> None:
    """A 200 where a 206 was asked for replaces what is there."""
    host.serve(CONTENT)
    host.then(reply(cut_after=70_000), reply(ignores_range=True))
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert len(host.requests) == 2


def test_a_weak_etag_is_not_resumed_by(host: Any, fetch: Any, reply: Any, sha256: Any) -> None:
    """A weak ETag promises no equal bytes, so the file is fetched from its start."""
    host.serve(CONTENT, etag='W/"one"')
    host.then(reply(cut_after=70_000))
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert "range" not in host.requests[1]


def test_a_range_that_cannot_be_satisfied_starts_over(
    host: Any, fetch: Any, partial: Path, reply: Any, sha256: Any
) -> None:
    """416 means that the part is of no use."""
    host.serve(CONTENT)
    host.then(reply(cut_after=70_000), reply(status=416))
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert "range" not in host.requests[2]
    assert not note(partial).exists()


@pytest.mark.parametrize(
    "words", [None, "", '"one"', '"one"\n', '"one"\n0\n', '"one"\n999999\n', 'W/"one"\n9\n', "é\n9\n"]
)
def test_a_part_without_a_sound_note_is_not_trusted(
    host: Any, fetch: Any, partial: Path, sha256: Any, words: str | None
) -> None:
    """Bytes that no note counts may be anything, and are fetched again."""
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(500))
    if words is not None:
        note(partial).write_text(words, encoding="utf-8")
    host.serve(CONTENT)
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert "range" not in host.requests[0]


def test_bytes_behind_the_noted_ones_are_cut_off(host: Any, fetch: Any, partial: Path, sha256: Any) -> None:
    """The note counts what had reached the disk; what lies behind that is fetched again."""
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:1000] + bytes(500))
    note(partial).write_text('"one"\n1000\n', encoding="ascii")
    host.serve(CONTENT)
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert host.requests[0]["range"] == "bytes=1000-"
    assert partial.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_refused_url_is_told_from_a_failure(host: Any, fetch: Any, reply: Any, status: int) -> None:
    """The caller must learn at once that a fresh URL is needed: no second request is sent to this one."""
    host.then(reply(status=status))
    outcome = fetch(host.url)
    assert isinstance(outcome, UrlRefused)
    assert outcome.status == status
    assert len(host.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_host_in_trouble_is_asked_again(host: Any, fetch: Any, reply: Any, sha256: Any, status: int) -> None:
    """What may pass is waited for."""
    host.serve(CONTENT)
    host.then(reply(status=status), reply(status=status))
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert len(host.requests) == 3


def test_a_host_that_stays_in_trouble_is_given_up(host: Any, fetch: Any, clock: Any, reply: Any) -> None:
    """Retries are bounded, their waits grow, and the outcome says that later may help."""
    host.then(*[reply(status=503)] * 4)
    outcome = fetch(host.url, attempts=4)
    assert outcome == DownloadFailed(
        reason="the file host answers 503 Service Unavailable, also at attempt 4", passing=True
    )
    assert len(clock.slept) == 3
    assert clock.slept == sorted(clock.slept)


def test_the_hosts_own_wait_is_kept(host: Any, fetch: Any, clock: Any, reply: Any) -> None:
    """Retry-After is obeyed, within reason."""
    host.serve(CONTENT)
    busy = [reply(status=429, headers={"Retry-After": wait}) for wait in ("7", "86400", "soon")]
    host.then(*busy)
    fetch(host.url)
    assert clock.slept[:2] == [7.0, 60.0]
    assert clock.slept[2] <= 2.0


@pytest.mark.parametrize(("failures", "most"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (50, 30.0)])
def test_pauses_double_up_to_a_bound(failures: int, most: float) -> None:
    """The n-th pause is between a half and the whole of its bound."""
    pauses = [pause_s(failures, random.Random(seed)) for seed in range(200)]
    assert most / 2 <= min(pauses) < most * 0.6
    assert most * 0.9 < max(pauses) <= most


def test_redirects_are_followed(host: Any, fetch: Any, reply: Any, sha256: Any) -> None:
    """A relative and an absolute redirect lead to the file."""
    host.serve(CONTENT)
    host.then(
        reply(status=302, headers={"Location": "/moved?x=1"}),
        reply(status=307, headers={"Location": f"{host.base}/there"}),
    )
    assert fetch(host.url).sha256 == sha256(CONTENT)
    assert host.paths[1:] == ["/moved?x=1", "/there"]


def test_redirects_are_bounded(host: Any, fetch: Any, reply: Any) -> None:
    """A circle ends."""
    host.then(*[reply(status=302, headers={"Location": "/round"})] * 20)
    outcome = fetch(host.url)
    assert outcome == DownloadFailed(reason="the file host redirects more than 5 times", passing=False)
    assert len(host.requests) == 6


@pytest.mark.parametrize(
    "place",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
        "http://a..b/x",
        "http://xn--/",
        f"http://{'x' * 64}.test/",
        "http://127.0.0.1:99999/",
    ],
)
def test_a_redirect_to_a_place_that_must_not_be_asked_is_refused(host: Any, fetch: Any, reply: Any, place: str) -> None:
    """Each hop is checked as the first URL is."""
    host.then(reply(status=302, headers={"Location": place}))
    outcome = fetch(host.url)
    assert isinstance(outcome, DownloadFailed)
    assert not outcome.passing
    assert len(host.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "data:,x",
        "",
        "/x",
        "http://key:secret@127.0.0.1/x",
        "http://x:port/",
    ],
)
def test_a_url_that_must_not_be_asked_is_refused(fetch: Any, url: str) -> None:
    """Only http and https, and no credentials in a URL, which httpx would send as an Authorization header."""
    effects: list[str] = []
    outcome = fetch(url, probe=effects.append)
    assert isinstance(outcome, DownloadFailed)
    assert not outcome.passing
    assert "secret" not in outcome.reason
    assert not effects


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", f"http://{'x' * 80}.test/", "http://a..b/", "http://[/"])
def test_an_address_that_nobody_can_have_is_a_failure(fetch: Any, url: str) -> None:
    """What the operating system refuses to look up ends as an outcome, too."""
    assert isinstance(fetch(url, attempts=2), DownloadFailed)


def test_a_step_down_from_https_is_refused(fetch: Any) -> None:
    """Who asks by https does not take the file by http."""
    transport = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "http://files.test/x"}))
    outcome = fetch("https://files.test/x", transport=transport)
    assert isinstance(outcome, DownloadFailed)
    assert "from https to http" in outcome.reason


def test_no_token_is_sent(host: Any, fetch: Any) -> None:
    """The token goes to the API host alone."""
    host.serve(CONTENT)
    fetch(host.url)
    assert "authorization" not in host.requests[0]
    assert host.requests[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("options", [{"auth": ("key", "secret")}, {"headers": {"Authorization": "Bearer x"}}])
def test_a_client_with_credentials_is_refused(clock: Any, options: Any) -> None:
    """Handing over the wrong client is a mistake that must not reach the network."""

    async def go() -> None:
        async with httpx.AsyncClient(**options) as client:
            Downloader(client, clock=clock, rng=random.Random(1))

    with pytest.raises(ValueError, match="credentials"):
        asyncio.run(go())


@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_beyond_the_cap_is_refused(host: Any, fetch: Any, partial: Path, reply: Any, says_length: bool) -> None:
    """No host fills the disk, whether it states the length or not."""
    host.serve(CONTENT)
    host.then(reply(says_length=says_length))
    outcome = fetch(host.url, size_cap=1000)
    assert isinstance(outcome, DownloadFailed)
    assert "1000" in outcome.reason
    assert not outcome.passing
    assert not partial.exists()


def test_a_file_without_a_stated_length_is_taken(host: Any, fetch: Any, reply: Any, sha256: Any) -> None:
    """Whether it is whole is for the decoder to say."""
    host.serve(CONTENT)
    host.then(reply(says_length=False))
    assert fetch(host.url).sha256 == sha256(CONTENT)


def test_a_packed_answer_is_refused(host: Any, fetch: Any, reply: Any) -> None:
    """Bytes that are not the file's own cannot be resumed or counted."""
    host.then(reply(status=200, headers={"Content-Encoding": "gzip"}, body=b"x"))
    outcome = fetch(host.url)
    assert isinstance(outcome, DownloadFailed)
    assert "gzip" in outcome.reason


@pytest.mark.parametrize("status", [204, 300, 304])
def test_an_answer_without_a_file_is_refused(host: Any, fetch: Any, reply: Any, status: int) -> None:
    """A success without a file is none."""
    host.then(reply(status=status))
    outcome = fetch(host.url)
    assert isinstance(outcome, DownloadFailed)
    assert not outcome.passing


def test_a_short_body_is_a_cut_also_where_no_socket_says_so(fetch: Any) -> None:
    """The stated length is checked here, whatever the transport checks."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"Content-Length": "10"}, stream=httpx.ByteStream(b"half"))
    )
    outcome = fetch("http://files.test/x", transport=transport, attempts=2)
    assert isinstance(outcome, DownloadFailed)
    assert "ended after 4 of 10 bytes" in outcome.reason


def test_a_host_that_is_not_there_is_a_passing_failure(fetch: Any) -> None:
    """A refused connection is retried and told, and is no traceback."""
    outcome = fetch("http://127.0.0.1:9/x", attempts=2)
    assert isinstance(outcome, DownloadFailed)
    assert outcome.passing
    assert "the connection to the file host broke" in outcome.reason


def test_what_python_refuses_to_look_up_is_a_failure(fetch: Any) -> None:
    """A name that cannot be encoded is met below httpx, which does not sort it."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise UnicodeError(f"label empty or too long: {request.url.host}")

    outcome = fetch("http://files.test/x", transport=httpx.MockTransport(refuse))
    assert isinstance(outcome, DownloadFailed)
    assert not outcome.passing


EXCEPTIONS = sorted(
    {error for _, error in inspect.getmembers(httpx, inspect.isclass) if issubclass(error, Exception)}
    - {httpx.StreamError, *httpx.StreamError.__subclasses__()},  # only a mistake of the caller raises these
    key=lambda error: error.__name__,
)


@pytest.mark.parametrize("error", EXCEPTIONS)
def test_whatever_httpx_raises_becomes_an_outcome(fetch: Any, error: type[Exception]) -> None:
    """No exception of the library passes its door."""
    about = {"request": httpx.Request("GET", "http://x"), "response": httpx.Response(500)}
    takes = inspect.signature(error).parameters

    def fail(_: httpx.Request) -> httpx.Response:
        raise error("broke", **{name: value for name, value in about.items() if name in takes})

    outcome = fetch("http://files.test/x?cacheKey=SIGNED", transport=httpx.MockTransport(fail), attempts=2)
    assert isinstance(outcome, DownloadFailed)
    assert "SIGNED" not in outcome.reason


class Dripping(httpx.AsyncByteStream):
    """A body that gives one chunk and then nothing more; `given` is set when the second is asked for."""

    def __init__(self, given: asyncio.Event) -> None:
        self.given = given

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield CONTENT[:1000]
        self.given.set()
        await asyncio.Event().wait()


def test_a_cancelled_download_can_be_resumed(clock: Any, partial: Path) -> None:
    """Who stops the program keeps what had arrived."""

    async def go() -> None:
        given = asyncio.Event()
        headers = {"ETag": '"one"', "Content-Length": "5000"}
        transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=Dripping(given)))
        async with file_client(transport=transport) as client:
            downloader = Downloader(client, clock=clock, rng=random.Random(1))
            task = asyncio.create_task(downloader.fetch("http://files.test/x", partial))
            await given.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(go())
    assert partial.read_bytes() == CONTENT[:1000]
    assert note(partial).read_text() == '"one"\n1000\n'


def test_a_host_that_never_answers_keeps_nobody(partial: Path, clock: Any) -> None:
    """Whoever leaves while it is asked leaves at once, and nothing is left on the disk."""
    effects: list[str] = []

    async def go(port: int) -> None:
        asked = asyncio.Event()

        def probe(effect: str) -> None:
            effects.append(effect)
            asked.set()

        async with file_client() as client:
            downloader = Downloader(client, clock=clock, rng=random.Random(1), probe=probe)
            task = asyncio.create_task(downloader.fetch(f"http://127.0.0.1:{port}/x", partial))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with socket.create_server(("127.0.0.1", 0)) as server:
        asyncio.run(asyncio.wait_for(go(server.getsockname()[1]), timeout=20))
    assert effects == ["file request"]
    assert not partial.exists()


def test_a_host_that_drips_is_given_up_and_what_came_is_kept(partial: Path) -> None:
    """A byte a second is no download: each attempt has its time, and the next goes on where it ended."""
    asked: list[str | None] = []

    class Drops(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for number in range(100_000):
                await asyncio.sleep(1)
                yield CONTENT[number : number + 1]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("range"))
        headers = {"ETag": '"one"', "Content-Length": "200000"}
        return httpx.Response(200, headers=headers, stream=Drops())

    time = Time()

    async def go() -> Any:
        async with file_client(transport=httpx.MockTransport(answer)) as client:
            downloader = Downloader(client, clock=LoopClock(time), rng=random.Random(1))
            return await downloader.fetch("http://files.test/x", partial, attempts=2)

    outcome = run_virtual(time, go())
    assert isinstance(outcome, DownloadFailed)
    assert outcome.passing
    assert time.now < 3 * ATTEMPT_S
    assert asked == [None, "bytes=299-"]
    assert 0 < partial.stat().st_size <= ATTEMPT_S


def test_a_crash_at_any_effect_leaves_nothing_that_spoils_the_next_download(
    host: Any, fetch: Any, reply: Any, sha256: Any, crash_at: Any, crash: Any
) -> None:
    """Whatever a crash leaves, the next download ends with the file's own bytes."""
    host.serve(CONTENT)
    host.then(reply(cut_after=70_000))
    fetch(host.url, probe=(every := crash_at()))
    assert {"file request", "partial open", "partial write", "partial note"} <= set(every.effects)
    crashes = 0
    for at in range(len(every.effects)):
        # How many pieces a file comes in is the network's choice: a run may have fewer effects than the first.
        host.then(reply(cut_after=70_000))
        with contextlib.suppress(crash):
            fetch(host.url, probe=crash_at(at))
            continue
        crashes += 1
        assert fetch(host.url).sha256 == sha256(CONTENT)
    assert crashes >= len({*every.effects})


def test_a_full_disk_is_said(host: Any, fetch: Any, partial: Path) -> None:
    """A full disk names the file and the repair."""
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")
    host.serve(CONTENT)
    with pytest.raises(DiskUnusable, match="the disk is full") as caught:
        fetch(host.url)
    assert str(partial) in caught.value.message
    assert "Make room" in str(caught.value.hint)
