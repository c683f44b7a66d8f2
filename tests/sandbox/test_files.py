"""The host of the result files."""

from __future__ import annotations

import io
from typing import Any

import pytest
import soundfile

DAY_S = 86_400


def test_a_file_is_what_its_task_promised(caller: Any) -> None:
    """The WAV and the MP3 are what they are called, and as long as the task says."""
    for audio_format, kind in (("wav", "WAV"), ("mp3", "MP3")):
        reply = caller.fetch(caller.url(audio_format=audio_format))
        info = soundfile.info(io.BytesIO(reply.body))
        assert (reply.status, info.format, info.duration) == (200, kind, 3.0)
        assert reply.headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=10-99999999", 10, None)],
)
def test_ranges_are_served(caller: Any, wanted: str, first: int, last: int | None) -> None:
    """206 with the bytes that were asked for, and where they stand."""
    url = caller.url()
    whole = caller.fetch(url).body
    reply = caller.fetch(url, range=wanted)
    assert (reply.status, reply.body) == (206, whole[first:] if last is None else whole[first : last + 1])
    assert reply.headers["content-range"].endswith(f"/{len(whole)}")


def test_a_range_beyond_the_end_is_416(caller: Any) -> None:
    """The answer tells how long the file is."""
    url = caller.url()
    size = len(caller.fetch(url).body)
    reply = caller.fetch(url, range=f"bytes={size}-")
    assert (reply.status, reply.headers["content-range"], reply.body) == (416, f"bytes */{size}", b"")


def test_an_odd_range_is_no_range(caller: Any) -> None:
    """What is no single range of bytes gets the whole file."""
    url = caller.url()
    assert {caller.fetch(url, range=odd).status for odd in ("lines=1-2", "bytes=0-1,5-6", "bytes=-")} == {200}


def test_if_range_guards_against_a_changed_file(caller: Any) -> None:
    """A range is served only of the version that was meant; else the whole file is."""
    url = caller.url()
    etag = caller.fetch(url).headers["etag"]
    assert caller.fetch(url, range="bytes=5-", if_range=etag).status == 206
    assert caller.fetch(url, range="bytes=5-", if_range='"another"').status == 200


def test_head_tells_everything_but_the_bytes(caller: Any) -> None:
    """HEAD has GET's headers and no body."""
    url = caller.url()
    whole, head = caller.fetch(url), caller.fetch(url, "HEAD")
    assert (head.headers, head.body) == (whole.headers, b"")


def test_a_url_expires_and_the_task_gives_a_fresh_one(a_caller: Any) -> None:
    """403 after its time; a query then hands out another that works."""
    caller = a_caller(url_lifetime_s=60)
    old = caller.url()
    caller.clock.now += 61
    assert caller.fetch(old).status == 403
    fresh = caller.url()
    assert fresh != old
    assert caller.fetch(fresh).status == 200


def test_a_fresh_url_has_half_its_life_before_it(a_caller: Any) -> None:
    """URLs are the same while they are young, so that a query never hands out one that is about to die."""
    caller = a_caller(url_lifetime_s=60)
    first = caller.url()
    caller.clock.now += 29
    assert caller.url() == first
    caller.clock.now += 2
    assert caller.url() != first
    assert caller.fetch(first).status == 200


def test_files_are_cleared_after_thirty_days(caller: Any) -> None:
    """Even a fresh URL leads to 404 then."""
    caller.url()
    caller.clock.now += 30 * DAY_S
    assert caller.fetch(caller.url()).status == 404


@pytest.mark.parametrize("change", [("cacheKey=", "cacheKey=0"), ("until=1", "until=2"), (".wav", ".mp3")])
def test_a_url_that_was_changed_is_refused(caller: Any, change: tuple[str, str]) -> None:
    """The signature covers the path and the end."""
    assert caller.fetch(caller.url().replace(*change)).status == 403


@pytest.mark.parametrize("path", ["/audio/none.wav", "/audio/", "/", "/audio/none"])
def test_what_is_not_there_is_404(caller: Any, path: str) -> None:
    """Any other path is no file."""
    assert caller.fetch(f"https://files.sandbox.invalid{path}").status == 404


def test_files_are_only_read(caller: Any) -> None:
    """No other method than GET and HEAD."""
    assert caller.fetch(caller.url(), "PUT").status == 405


def test_same_name_gives_the_same_bytes_in_any_sandbox(a_caller: Any) -> None:
    """Bytes follow from prompt and external id: neither from the time nor from the task id."""
    one, other = a_caller(), a_caller(seed=5)
    other.create("first-of-all")
    other.clock.now += 1000
    assert one.fetch(one.url("a")).body == other.fetch(other.url("a")).body
    assert one.fetch(one.url("a")).body != one.fetch(one.url("b")).body
