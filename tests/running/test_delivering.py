"""Bringing files home: fetched until they are whole or what the service made, and nothing paid for is thrown away."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
import soundfile

from kling_batch.delivery.answer import DownloadOutcome
from kling_batch.delivery.download import Downloader, file_client
from kling_batch.errors import DiskUnusable
from kling_batch.model import Audio, FileRecord, Job, Source, Status, Take, Task, TaskStatus
from kling_batch.records.attempts import Stage
from kling_batch.records.lock import Lock
from kling_batch.running.copies import Copies
from kling_batch.running.deliver import Deliveries
from kling_batch.running.locking import LockKeeper
from kling_batch.running.siblings import Siblings
from kling_batch.running.work import Work, first_row, nothing_known
from kling_batch.service.outcomes import Absent, Found

SETTLE_S = 20.0


def wav(seconds: float = 3.0, *, seed: int = 1) -> bytes:
    """Make a sound."""
    file = io.BytesIO()
    noise = np.random.default_rng(seed).standard_normal(int(8000 * seconds)) * 0.1
    soundfile.write(file, noise, 8000, format="WAV")
    return file.getvalue()


WHOLE = wav()
CUT = WHOLE[:-5000]
PAGE = b"<!DOCTYPE html><title>Please sign in</title>"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Clock:
    """Stands still but for its sleeps, which take no time."""

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


class World:
    """A service that knows tasks, and a file host: both answer what was scripted, the last answer for ever.

    An answer of the host is a status or a file; one of the service is the URLs of the task, or None for no such task.
    """

    answers = 1

    def __init__(self) -> None:
        self.files: dict[str, list[int | bytes]] = {}
        self.tasks: dict[str, list[dict[str, str] | None]] = {}
        self.asked: list[str] = []
        self.fetched: list[str] = []

    async def query(self, path: str, task_id: str) -> Found | Absent:
        del path
        self.asked.append(task_id)
        urls = _next(self.tasks[task_id])
        return Absent() if urls is None else Found(task=finished(task_id, urls))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.fetched.append(request.url.path)
        answer = _next(self.files[request.url.path])
        return (
            httpx.Response(answer) if isinstance(answer, int) else httpx.Response(200, stream=httpx.ByteStream(answer))
        )


def _next(script: list[Any]) -> Any:
    return script.pop(0) if len(script) > 1 else script[0]


def finished(task_id: str, urls: dict[str, str]) -> Task:
    audios = (Audio(id="a", urls=urls, durations_s={"wav": 3.0}),) if urls else ()
    return Task(task_id=task_id, external_id=None, status=TaskStatus.SUCCEEDED, audios=audios)


class Home:
    """Delivers takes into a folder. `world` is where they come from, `clock` what passes meanwhile."""

    def __init__(self, out: Path, parts_of: Any, journal: Any) -> None:
        self.out = out
        self.world = World()
        self.clock = Clock()
        self.ended: list[str] = []
        self._parts_of = parts_of
        self._journal = journal

    def work(self, name: str = "door", *answers: int | bytes, **facts: Any) -> Work:
        """Make a take whose task has succeeded; `answers` are the file host's."""
        request = {"prompt": "A", "duration": 3.0}
        source = Source(path="m", line=1)
        job = Job(project="p", id=name, kind="text-to-audio", request=request, formats=("wav",), source=source)
        take = Take(job=job, number=1, edition=1, stem=f"{name}-01")
        row = replace(first_row(take, 1), stage=Stage.SUCCEEDED, task_id=f"task-{name}")
        url = f"https://files.test/{name}.wav"
        self.world.files[f"/{name}.wav"] = list(answers)
        self.world.tasks[f"task-{name}"] = [{"wav": url}]
        known = replace(nothing_known(take), **facts)
        return Work(facts=known, row=row, task=finished(f"task-{name}", {"wav": url}))

    def deliver(self, *works: Work, at_once: int = 2, downloader: Any = None) -> Work:
        """Bring the files of takes home; gives the first of them."""
        asyncio.run(self._deliver(works, at_once, downloader))
        return works[0]

    async def _deliver(self, works: tuple[Work, ...], at_once: int, downloader: Any) -> None:
        async with file_client(transport=httpx.MockTransport(self.world.answer)) as client:
            files = Downloader(client, clock=self.clock, rng=random.Random(1))
            files = files if downloader is None else downloader(files)
            world = {"service": self.world, "clock": self.clock, "files": files, "observe": self._observe}
            parts = self._parts_of(list(works), self._journal, world=world, settle_time_s=SETTLE_S)
            scheduler, ports = parts.scheduler, parts.ports
            keeper = LockKeeper(
                path=self.out / "lock",
                lock=Lock(project="p"),
                clock=self.clock,
                offload=asyncio.to_thread,
                probe=ports.probe,
            )
            siblings = Siblings((), keeper.lock)
            deliveries = Deliveries(keeper, Copies(None), siblings, known=(), offline=False, at_once=at_once)
            for work in works:
                deliveries.add(work)
            task = asyncio.create_task(deliveries.work(scheduler, ports))
            while any(work.status is None for work in works) and scheduler.stopped is None:
                await parts.wake.wait()
                parts.wake.clear()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _observe(self, event: Any) -> None:
        if (status := getattr(event, "status", None)) is not None:
            self.ended.append(f"{event.take.job_id} {status}")

    def files(self) -> dict[str, bytes]:
        """Give what lies in the folder, but for the program's own."""
        found = (path for path in self.out.rglob("*") if path.is_file() and ".kling-batch" not in path.parts)
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in found if path.name != "lock"}


@pytest.fixture
def home(tmp_path: Path, parts_of: Any, journal: Any) -> Home:
    return Home(tmp_path, parts_of, journal())


def kept(data: bytes) -> str:
    return f"rejected/door-01.{sha256(data)[:12]}.wav"


# What is taken, and what is not


def test_a_whole_file_is_taken_at_once(home: Home) -> None:
    """It is fetched once, and nothing is said of it."""
    work = home.deliver(home.work("door", WHOLE))
    assert work.status is Status.SUCCEEDED
    assert work.warnings == ()
    assert home.files() == {"door-01.wav": WHOLE}
    assert (home.world.asked, home.clock.slept) == ([], [])


@pytest.mark.parametrize("first", [CUT, PAGE, b""])
def test_a_doubtful_file_is_fetched_once_more(home: Home, first: bytes) -> None:
    """With a fresh URL; a whole one takes its place, and nothing is left of it."""
    work = home.deliver(home.work("door", first, WHOLE))
    assert work.status is Status.SUCCEEDED
    assert work.result().warnings == ()
    assert home.files() == {"door-01.wav": WHOLE}
    assert home.world.asked == ["task-door"]


def test_the_same_bytes_twice_are_what_the_service_made(home: Home) -> None:
    """They are accepted if they can be decoded, with a warning that names the file and the reason."""
    work = home.deliver(home.work("door", CUT))
    assert work.status is Status.SUCCEEDED
    assert home.files() == {"door-01.wav": CUT}
    [warning] = work.result().warnings
    assert warning.startswith("door-01.wav: the file is cut: its sound lacks 5000")
    assert home.world.fetched == ["/door.wav"] * 2


def test_a_file_of_another_length_is_taken_with_a_warning(home: Home) -> None:
    """It is whole: fetching it again would give nothing else."""
    work = home.deliver(home.work("door", wav(4.2)))
    assert work.warnings == ("door-01.wav: it lasts 4.20 s, and 3.00 s were asked for",)
    assert home.world.fetched == ["/door.wav"]


def test_what_cannot_be_decoded_is_kept_with_its_reason(home: Home) -> None:
    """The take fails, and names the file and what to do; nothing paid is deleted."""
    work = home.deliver(home.work("door", PAGE))
    assert work.status is Status.FAILED
    assert work.row.stage is Stage.SUCCEEDED
    assert home.files()[kept(PAGE)] == PAGE
    assert home.files()[f"{kept(PAGE)}.txt"] == b"it is a web page or XML, not WAV\ntask task-door\n"
    assert work.error is not None
    assert kept(PAGE) in work.error.message
    assert "support with the task id" in str(work.error.hint)


def test_what_was_rejected_before_is_fetched_once_by_a_later_run(home: Home) -> None:
    """The bytes that are kept are the first of the two; a sound that has come meanwhile is taken."""
    home.deliver(home.work("door", PAGE))
    assert home.deliver(home.work("door", PAGE)).status is Status.FAILED
    assert len(home.world.fetched) == 3
    assert home.deliver(home.work("door", WHOLE)).status is Status.SUCCEEDED


def test_bytes_that_differ_each_time_are_all_kept(home: Home) -> None:
    """A host that damages what it sends may stop doing so: the take stays pending, with all that came."""
    answers = [WHOLE[:-cut] for cut in range(1000, 9000, 1000)] + [b"<1>", b"<2>"]
    work = home.deliver(home.work("door", *answers, 500))
    assert work.status is Status.PENDING
    sounds = {name: data for name, data in home.files().items() if not name.endswith(".txt")}
    assert sounds == {kept(data): data for data in answers[: len(sounds)]}
    assert len(sounds) > 3


def test_a_doubtful_file_is_kept_where_no_second_can_be_had(home: Home) -> None:
    """It may be the only copy of a paid sound."""
    work = home.deliver(home.work("door", CUT, 404))
    assert work.status is Status.PENDING
    assert home.files()[kept(CUT)] == CUT


def test_other_bytes_than_the_lock_names_are_refused_and_kept(home: Home) -> None:
    """A whole sound that is not the locked one is put where somebody can listen to it."""
    known = FileRecord(path="door-01.wav", format="wav", sha256=sha256(CUT), bytes=len(CUT), duration_s=2.4)
    work = home.deliver(home.work("door", WHOLE, known_files={"wav": known}))
    assert work.status is Status.FAILED
    assert work.error is not None
    assert "other bytes than the lock names" in work.error.message
    assert home.files()[kept(WHOLE)] == WHOLE


def test_the_bytes_of_the_lock_are_taken_as_they_are(home: Home) -> None:
    """What was accepted once is not doubted again."""
    known = FileRecord(path="door-01.wav", format="wav", sha256=sha256(CUT), bytes=len(CUT), duration_s=2.4)
    work = home.deliver(home.work("door", CUT, known_files={"wav": known}))
    assert work.status is Status.SUCCEEDED
    assert home.world.fetched == ["/door.wav"]


# What passes


@pytest.mark.parametrize("status", [403, 404])
def test_a_host_that_is_not_filled_yet_is_asked_again(home: Home, status: int) -> None:
    """Each time with a fresh URL: one query a wait, and waits that double."""
    work = home.deliver(home.work("door", status, status, status, WHOLE))
    assert work.status is Status.SUCCEEDED
    assert home.world.asked == ["task-door"] * 3
    assert all(first <= waited <= 1.25 * first for first, waited in zip((0.5, 1, 2), home.clock.slept, strict=True))


def test_sounds_that_are_shown_late_are_waited_for(home: Home) -> None:
    """A task that has succeeded may have none in its first answers."""
    work = home.work("door", WHOLE)
    urls = home.world.tasks["task-door"][0]
    home.world.tasks["task-door"] = [{}, None, {}, urls]
    work.task = None
    assert home.deliver(work).status is Status.SUCCEEDED
    assert len(home.world.asked) == 4


@pytest.mark.parametrize("answer", [403, 404, 410])
def test_what_does_not_come_within_the_settle_time_stays_pending(home: Home, answer: int) -> None:
    """It never fails for good for that; the waits are bounded, and so is their number."""
    work = home.deliver(home.work("door", answer))
    assert work.status is Status.PENDING
    assert SETTLE_S <= sum(home.clock.slept) <= 2 * SETTLE_S
    assert max(home.clock.slept) <= 10
    assert work.error is not None
    assert "30 days" in str(work.error.hint)


def test_a_task_that_names_no_sound_stays_pending(home: Home) -> None:
    """What the service does not show today may be there tomorrow."""
    work = home.work("door", WHOLE)
    work.task = None
    home.world.tasks["task-door"] = [{}]
    assert home.deliver(work).status is Status.PENDING


def test_a_take_that_waits_keeps_no_other_from_being_delivered(home: Home) -> None:
    """A host that lets the first files wait does not hold up what is there."""
    home.deliver(home.work("late", 404), home.work("door", WHOLE), at_once=1)
    assert home.ended == ["door succeeded", "late pending"]


# What stays with a take


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/x",
        "http://xn--/",
        f"http://{'x' * 64}.test/",
        "https://files.test:99999/x",
        "sound",
        "file:///x",
        "",
    ],
)
def test_an_impossible_url_ends_its_take_alone(home: Home, url: str) -> None:
    """The others are delivered."""
    broken = home.work("broken", WHOLE)
    broken.task = finished("task-broken", {"wav": url})
    other = home.work("door", WHOLE)
    assert home.deliver(broken, other).status is Status.FAILED
    assert other.status is Status.SUCCEEDED
    assert broken.error is not None
    assert "URL" in broken.error.message


class Faulty:
    """A downloader with a bug that shows in the first download."""

    def __init__(self, inner: Downloader) -> None:
        self.inner = inner
        self.downloads = 0

    async def fetch(self, url: str, partial: Path) -> DownloadOutcome:
        self.downloads += 1
        if self.downloads == 1:
            raise ZeroDivisionError("of all things")
        return await self.inner.fetch(url, partial)


def test_a_bug_ends_its_take_alone(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """It is named as ours, its traceback is logged, and the others are delivered."""
    first, other = home.work("first", WHOLE), home.work("door", WHOLE)
    with caplog.at_level(logging.ERROR, "kling_batch"):
        home.deliver(first, other, downloader=Faulty, at_once=1)
    assert (first.status, other.status) == (Status.FAILED, Status.SUCCEEDED)
    assert first.error is not None
    assert "a bug in kling-batch: ZeroDivisionError" in first.error.message
    assert "Traceback" in caplog.text


class _FullOnTheWayOut:
    """A downloader that finds the disk full in the moment in which the run lets go of it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def fetch(self, url: str, partial: Path) -> DownloadOutcome:
        del url, partial
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise DiskUnusable("the disk is full")


def test_a_delivery_that_meets_a_full_disk_ends(home: Home, parts_of: Any, journal: Any) -> None:
    """It stops the run and itself: one that went on would wait for ever, and the run with it."""

    async def go() -> bool:
        files, work = _FullOnTheWayOut(), home.work("door", WHOLE)
        parts = parts_of([work], journal(), world={"files": files})
        siblings = Siblings((), Lock(project="p"))
        deliveries = Deliveries(cast("Any", None), Copies(None), siblings, known=(), offline=False)
        deliveries.add(work)
        delivering = asyncio.create_task(deliveries.work(parts.scheduler, parts.ports))
        await files.begun.wait()
        delivering.cancel()
        await asyncio.wait([delivering], timeout=5)
        return delivering.done() and isinstance(parts.scheduler.stopped, DiskUnusable)

    assert asyncio.run(go())


# What is at hand


@pytest.mark.parametrize("name", ["door-01.{}.wav", "door-01.{}.2.wav", "gate-01.{}.wav"])
def test_a_sound_that_was_replaced_is_brought_back(home: Home, name: str) -> None:
    """It lies on this disk: neither the store nor the service is asked for it."""
    replaced = home.out / ".kling-batch" / "replaced" / name.format(sha256(WHOLE)[:12])
    replaced.parent.mkdir(parents=True)
    replaced.write_bytes(WHOLE)
    known = FileRecord(path="door-01.wav", format="wav", sha256=sha256(WHOLE), bytes=len(WHOLE), duration_s=3.0)
    work = home.deliver(home.work("door", 404, known_files={"wav": known}))
    assert work.status is Status.SUCCEEDED
    assert home.files() == {"door-01.wav": WHOLE}
    assert (home.world.asked, home.world.fetched) == ([], [])
    assert replaced.exists()


def test_a_replaced_sound_that_was_changed_is_left_alone(home: Home) -> None:
    """Its name tells which bytes it had; what it has counts."""
    replaced = home.out / ".kling-batch" / "replaced" / f"door-01.{sha256(WHOLE)[:12]}.wav"
    replaced.parent.mkdir(parents=True)
    replaced.write_bytes(CUT)
    known = FileRecord(path="door-01.wav", format="wav", sha256=sha256(WHOLE), bytes=len(WHOLE), duration_s=3.0)
    home.deliver(home.work("door", WHOLE, known_files={"wav": known}))
    assert home.files() == {"door-01.wav": WHOLE}
    assert home.world.fetched == ["/door.wav"]
