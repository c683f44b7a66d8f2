"""An engine with nothing behind it but a journal that can be held up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from kling_batch.clock import SystemClock
from kling_batch.effects import no_probe
from kling_batch.model import Job, Source, Take, Task, TaskStatus
from kling_batch.records.account import Knowledge
from kling_batch.records.attempts import Attempt
from kling_batch.running.engine import Engine
from kling_batch.running.limits import Budget
from kling_batch.running.ports import Options, Ports
from kling_batch.running.work import Work, first_row
from kling_batch.service.catalog import kind


class SlowJournal:
    """Keeps rows in memory; while `gate` is closed, nobody's write comes to its end."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def save(self, attempt: Attempt, files: Iterable[Any] = ()) -> None:
        await self.save_all([(attempt, files)])

    async def save_all(self, rows: Iterable[tuple[Attempt, Iterable[Any]]]) -> None:
        self.rows += [attempt for attempt, _ in rows]
        await self.gate.wait()


@pytest.fixture
def work() -> Work:
    job = Job(project="p", id="door", request={"prompt": "A door", "duration": 3.0}, source=Source(path="m", line=1))
    take = Take(job=job, number=1, edition=1, stem="door-01")
    return Work(take=take, row=first_row(take, 1))


@pytest.fixture
def engine_of(tmp_path: Path) -> Callable[..., Engine]:
    def make(works: list[Work], journal: SlowJournal, delivered: list[Work], **options: Any) -> Engine:
        ports = Ports(
            service=cast("Any", None),
            files=cast("Any", None),
            journal=cast("Any", journal),
            store=None,
            clock=SystemClock(),
            rng=random.Random(0),
            offload=asyncio.to_thread,
            probe=no_probe,
            observe=lambda _: None,
        )
        return Engine(
            works,
            kind=kind("text-to-audio"),
            ports=ports,
            options=Options(out=tmp_path, lock_path=tmp_path / "lock", **options),
            budget=Budget(),
            run_id=1,
            deliver=delivered.append,
            knowledge=Knowledge(),
            least_price=Decimal("0.25"),
            learn=lambda _: None,
            proven=True,
        )

    return make


@pytest.fixture
def journal() -> Callable[[], SlowJournal]:
    return SlowJournal


@pytest.fixture
def task() -> Callable[..., Task]:
    def make(work: Work, status: TaskStatus, **facts: Any) -> Task:
        return Task(task_id="953948011111111111", external_id=work.external_id, status=status, **facts)

    return make
