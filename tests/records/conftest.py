"""Journals in real files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kling_batch.model import FileRecord
from kling_batch.records.attempts import Attempt, PlacedFile, Stage
from kling_batch.records.journal import Journal
from kling_batch.records.layout import FOLDER
from kling_batch.records.lock import LockEntry

NOW = 1_700_000_000.0


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "tavern"


@pytest.fixture
def file(out: Path) -> Path:
    """Where the journal's file is."""
    return out / FOLDER / "journal.sqlite3"


Open = Callable[..., Journal]


@pytest.fixture
def open_journal(out: Path) -> Iterator[Open]:
    """Open a journal in the output folder; whatever is open at the test's end is closed."""
    opened: list[Journal] = []

    def open_one(**options: Any) -> Journal:
        plain: dict[str, Any] = {"now": NOW}
        journal = Journal(options.pop("out", out), **(plain | options))
        opened.append(journal)
        return journal

    yield open_one
    for journal in opened:
        journal.close()


@pytest.fixture
def attempt() -> Callable[..., Attempt]:
    """Make an attempt; what is not given is a fresh intent of 0.25 units."""

    def make(external_id: str = "kb-1", **facts: Any) -> Attempt:
        plain: dict[str, Any] = {"job_id": "door", "take": 1, "attempt": 1, "run_id": 1, "kind": "text-to-audio"}
        plain |= {"stage": Stage.INTENT, "units": Decimal("0.25")}
        return Attempt(external_id=external_id, **(plain | facts))

    return make


@pytest.fixture
def placed() -> Callable[..., PlacedFile]:
    """Make the record of a file under its final name."""

    def make(external_id: str = "kb-1", audio_format: str = "wav") -> PlacedFile:
        record = FileRecord(
            path=f"door-01.{audio_format}", format=audio_format, sha256="ab" * 32, bytes=441_044, duration_s=5.0
        )
        return PlacedFile(external_id=external_id, record=record, mtime_ns=1_700_000_000_123_456_789)

    return make


@pytest.fixture
def entry() -> Callable[..., LockEntry]:
    """Make a lock's entry; what is not given is of the first take of the door."""

    def make(job_id: str = "door", take: int = 1, **facts: Any) -> LockEntry:
        plain: dict[str, Any] = {"job_id": job_id, "take": take, "edition": 1, "attempt": 1, "kind": "text-to-audio"}
        plain |= {"external_id": f"kb-{job_id}-{take}", "task_id": "9", "units": Decimal("0.25"), "request": {}}
        return LockEntry(**(plain | {"files": ()} | facts))

    return make


class SlowDisk:
    """A probe that holds the writer at its first commit until it is let go, and remembers what happened."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, effect: str) -> None:
        self.effects.append(effect)
        if threading.current_thread() is not threading.main_thread():
            self.reached.set()
            self.let_go.wait()


@pytest.fixture
def slow_disk() -> SlowDisk:
    return SlowDisk()
