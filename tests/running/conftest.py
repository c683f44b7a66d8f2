"""A scheduler with nothing behind it but a journal that can be held up."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from kling_batch.catalog import kind
from kling_batch.clock import SystemClock
from kling_batch.effects import no_probe
from kling_batch.model import Job, Source, Take, Task, TaskStatus
from kling_batch.planning.spending import Budget
from kling_batch.records.account import Knowledge
from kling_batch.records.attempts import Attempt
from kling_batch.running.account import Account
from kling_batch.running.limits import Limit
from kling_batch.running.options import Options
from kling_batch.running.ports import Ports
from kling_batch.running.reading import Reader
from kling_batch.running.reconcile import Reconciler
from kling_batch.running.scheduler import Scheduler
from kling_batch.running.slots import HeldSlots
from kling_batch.running.work import Work, first_row, nothing_known


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
    request = {"prompt": "A door", "duration": 3.0}
    source = Source(path="m", line=1)
    job = Job(project="p", id="door", kind="text-to-audio", request=request, formats=("wav",), source=source)
    take = Take(job=job, number=1, edition=1, stem="door-01")
    return Work(facts=nothing_known(take), row=first_row(take, 1))


class Answering:
    """A service that has answered, and that nobody asks."""

    answers = 1


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A scheduler and what is around it."""

    scheduler: Scheduler
    reconciler: Reconciler
    account: Account
    ports: Ports
    wake: asyncio.Event


@pytest.fixture
def parts_of(tmp_path: Path) -> Callable[..., Parts]:
    def make(
        works: list[Work],
        journal: Any = None,
        delivered: list[Work] | None = None,
        *,
        world: Any = None,
        of_kind: str = "text-to-audio",
        **options: Any,
    ) -> Parts:
        ports = Ports(
            service=cast("Any", Answering()),
            files=cast("Any", None),
            journal=cast("Any", journal),
            store=None,
            clock=SystemClock(),
            rng=random.Random(0),
            offload=asyncio.to_thread,
            probe=no_probe,
            observe=lambda _: None,
        )
        ports = replace(ports, **(world or {}))
        reader = Reader(ports.service, ports.clock, ports.rng, ports.observe)
        account = Account(reader, kind(of_kind))
        wake = asyncio.Event()
        given = {"knowledge": Knowledge(), "proven": True, "budget": Budget()}
        scheduler = Scheduler(
            works=works,
            durations=deque(),
            kind=kind(of_kind),
            limit=Limit(cap=options.get("concurrency")),
            held=HeldSlots(20.0),
            account=account,
            options=Options(
                out=tmp_path,
                lock_path=tmp_path / "lock",
                **{name: value for name, value in options.items() if name not in given},
            ),
            **{name: options.get(name, usual) for name, usual in given.items()},
            run_id=1,
            deliver=(delivered if delivered is not None else []).append,
            least_price=Decimal("0.25"),
            learn_account=lambda _: None,
            clock=ports.clock,
            jitter=lambda: 0.0,
            observe=ports.observe,
            wake=wake.set,
        )
        reconciler = Reconciler(scheduler, account, ports)
        return Parts(scheduler=scheduler, reconciler=reconciler, account=account, ports=ports, wake=wake)

    return make


@pytest.fixture
def journal() -> Callable[[], SlowJournal]:
    return SlowJournal


@pytest.fixture
def task() -> Callable[..., Task]:
    def make(work: Work, status: TaskStatus, **facts: Any) -> Task:
        return Task(task_id="953948011111111111", external_id=work.external_id, status=status, **facts)

    return make
